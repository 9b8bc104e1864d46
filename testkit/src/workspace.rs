//! Where things are in this workspace.
//!
//! The test kit is always run from the workspace that it was built in: it builds that workspace's guests.

use std::path::PathBuf;

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or(tests.clone(), PathBuf::from)
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR`, or the workspace's `target`.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative folder as relative to where it was called; tests run in their package's folder.
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The folder with the scenarios, one folder for each interface.
pub fn scenarios() -> PathBuf {
    root().join("tests/scenarios")
}
