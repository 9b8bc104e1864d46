//! `cargo xtask test`: all set-up, then every test there is.

use std::env;
use std::num::NonZero;
use std::thread;

use anyhow::Result;

use crate::{deny, install, newcomer, slowest, tools};
use xtask::setup;
use xtask::workspace::Workspace;

/// How many tests of a program run at once.
const THREADS: &str = "RUST_TEST_THREADS";

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
        command
            .args(["--no-fail-fast", "--"])
            .args(tools::arguments());
    }
    if env::var_os(THREADS).is_none() {
        // Many tests wait for other processes.
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        command.env(THREADS, (2 * cores).to_string());
    }
    slowest::run(command.args(arguments))?;
    if !arguments.is_empty() {
        return Ok(());
    }
    deny::run(workspace, &OFFLINE.map(str::to_owned))?;
    let bin = install::check(workspace)?;
    newcomer::check(workspace, &bin)
}
