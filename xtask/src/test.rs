//! `cargo xtask test`: all set-up, then every test there is.

use anyhow::Result;

use crate::{deny, install, newcomer, slowest, tools};
use xtask::setup;
use xtask::workspace::Workspace;

/// What cargo-deny checks without a network.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// With `arguments`, `cargo test` alone with these.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::run(workspace)?;
    let mut command = workspace.cargo();
    command.args(["test", "--locked"]);
    if !arguments
        .iter()
        .any(|argument| argument == "-p" || argument.starts_with("--package"))
    {
        command.arg("--workspace");
        for package in workspace.wasm_only() {
            command.args(["--exclude", &package.name]);
        }
    }
    if arguments.is_empty() {
        // After so long a run, every failure is worth knowing.
        command.arg("--no-fail-fast");
    }
    slowest::run(command.args(arguments))?;
    if !arguments.is_empty() {
        return Ok(());
    }
    tools::run(workspace)?;
    deny::run(workspace, &OFFLINE.map(str::to_owned))?;
    let bin = install::check(workspace)?;
    newcomer::check(workspace, &bin)
}
