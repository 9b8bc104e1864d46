//! cargo-deny: checks the licenses, sources and known vulnerabilities of all dependencies, as configured in `deny.toml`.

use std::process::Command;

use anyhow::Result;

use xtask::shell;
use xtask::workspace::Workspace;

/// Runs cargo-deny if it is installed; otherwise, prints a note. `arguments` are passed to `cargo deny check`. Without arguments, it checks
/// everything, and needs a network for the advisories.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let is_there = shell::read(Command::new("cargo-deny").arg("--version")).is_ok();
    if !is_there {
        println!(
            "SKIPPED: licenses, sources and advisories of dependencies: `cargo-deny` is not installed; run `cargo install cargo-deny --locked`"
        );
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["deny", "--locked", "check"]).args(arguments);
    shell::run(&mut command)
}
