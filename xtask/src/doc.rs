//! `cargo xtask doc`: the documentation of every crate but the bridge.

use anyhow::Result;

use xtask::shell;
use xtask::workspace::{BRIDGE, Group, Workspace};

/// A broken link or a missing comment is an error here.
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
