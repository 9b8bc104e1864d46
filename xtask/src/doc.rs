//! `cargo xtask doc`: the documentation of every crate except the bridge.

use anyhow::Result;

use xtask::shell;
use xtask::workspace::{BRIDGE, Group, Workspace};

/// Broken links and missing comments are errors.
pub fn run(workspace: &Workspace) -> Result<()> {
    for group in Group::ALL {
        let mut command = workspace.cargo();
        command.args(["doc", "--locked", "--no-deps"]);
        workspace.select(group, &mut command);
        if group == Group::Plugins {
            for package in workspace.wasm_only().filter(|it| it.name != BRIDGE) {
                command.args(["--package", &package.name]);
            }
        }
        shell::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    Ok(())
}
