//! Paths in this workspace.
//!
//! Tests use the workspace in which they were built, because they build that workspace's guests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Returns the workspace's root directory.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .nth(2)
        .map_or(package.clone(), PathBuf::from)
}

/// Returns cargo's target directory: `CARGO_TARGET_DIR`, or the workspace's `target`.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo resolves a relative path against the directory in which it was called, but tests run in the directory
        // of their package.
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Returns the directory with the scenarios, which has one subdirectory per interface.
pub fn scenarios() -> PathBuf {
    root().join("tests/scenarios")
}

/// Returns a command for cargo of the toolchain that runs this test, in the root directory and without standard input.
///
/// Variables that identify the test's package are removed, because build scripts of some dependencies, such as ring,
/// run again when they change.
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
