//! Where things are in this workspace.
//!
//! Tests run in the workspace that they were built in: they build that workspace's guests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .nth(2)
        .map_or(package.clone(), PathBuf::from)
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

/// Cargo, of the toolchain that runs this test, in the root folder, with nothing to read.
///
/// It is not told of which package this test is: build scripts of dependencies, of ring for one, run again when that changes.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}
