//! `cargo xtask lint`: formatting and clippy, each crate for the targets that it is built for.

use anyhow::Result;

use crate::workspace::{BRIDGE, Workspace};
use crate::{guests, shell};

/// Warnings are errors here, and here only: while one writes they are warnings.
pub fn run(workspace: &Workspace) -> Result<()> {
    shell::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;

    let mut host = workspace.cargo();
    host.args(["clippy", "--locked", "--workspace", "--all-targets"]);
    for package in workspace.wasm_only() {
        host.args(["--exclude", &package.name]);
    }
    shell::run(host.args(["--", "-D", "warnings"]))?;

    let mut plugins = workspace.cargo();
    plugins.args(["clippy", "--locked", "--target", guests::TARGET]);
    for package in workspace.plugins() {
        plugins.args(["--package", &package.name]);
    }
    shell::run(plugins.args(["--", "-D", "warnings"]))?;

    let mut bridge = workspace.cargo();
    bridge.args([
        "clippy",
        "--locked",
        "--target",
        "wasm32-unknown-unknown",
        "--package",
        BRIDGE,
    ]);
    shell::run(bridge.args(["--", "-D", "warnings"]))
}
