//! `cargo xtask package`: every crate that is published builds from its own package, with the others from theirs.

use anyhow::{Result, ensure};

use xtask::shell;
use xtask::workspace::Workspace;

/// Packs and builds them. Nothing is uploaded.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    // What is packed is the working copy, committed or not.
    command.args(["package", "--locked", "--allow-dirty"]);
    let mut count = 0;
    for package in workspace.packages.iter().filter(|it| it.is_published()) {
        command.args(["--package", &package.name]);
        count += 1;
    }
    ensure!(count > 0, "no package of the workspace is published");
    shell::run(&mut command)
}
