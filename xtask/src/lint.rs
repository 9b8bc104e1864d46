//! `cargo xtask lint`: formatting and clippy, each crate for the targets that it is built for.

use anyhow::Result;

use crate::test::WASM_ONLY;
use crate::workspace::Workspace;
use crate::{guests, shell};

/// Warnings are errors here, and here only: while one writes they are warnings.
pub fn run(workspace: &Workspace) -> Result<()> {
    shell::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;

    let mut host = workspace.cargo();
    host.args(["clippy", "--locked", "--workspace", "--all-targets"]);
    for name in WASM_ONLY {
        host.args(["--exclude", name]);
    }
    shell::run(host.args(["--", "-D", "warnings"]))?;

    let mut plugins = workspace.cargo();
    plugins.args(["clippy", "--locked", "--target", guests::TARGET]);
    for name in guests::names(workspace) {
        plugins.args(["--package", name]);
    }
    shell::run(plugins.args(["--", "-D", "warnings"]))?;

    let mut bridge = workspace.cargo();
    bridge.args(["clippy", "--locked", "--target", "wasm32-unknown-unknown"]);
    for name in WASM_ONLY {
        bridge.args(["--package", name]);
    }
    shell::run(bridge.args(["--", "-D", "warnings"]))
}
