//! cargo-deny: licences, sources and known vulnerabilities of every dependency, as `deny.toml` has them.

use std::process::Command;

use anyhow::Result;

use xtask::shell;
use xtask::workspace::Workspace;

/// Runs cargo-deny where it is installed, or says that it is not. `arguments` go to `cargo deny check`; without any it
/// checks everything, which needs a network for the advisories.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let is_there = shell::read(Command::new("cargo-deny").arg("--version")).is_ok();
    if !is_there {
        println!(
            "SKIPPED: licences, sources and advisories of dependencies: there is no `cargo-deny`; `cargo install cargo-deny --locked`"
        );
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["deny", "--locked", "check"]).args(arguments);
    shell::run(&mut command)
}
