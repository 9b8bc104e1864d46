//! `cargo xtask test`: all set-up, then every test there is.

use std::env;
use std::num::NonZero;
use std::process::Command;
use std::thread;

use anyhow::Result;

use crate::{deny, install, newcomer, slowest, tools};
use xtask::setup;
use xtask::workspace::{Group, Workspace};

/// How many tests of a program run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// What cargo-deny checks without a network.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// With `arguments`, `cargo test` alone with these.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::run(workspace)?;
    if !arguments.is_empty() {
        return slowest::run(vec![chosen(workspace, arguments)]);
    }
    let settings = tools::arguments();
    slowest::run(
        Group::ALL
            .map(|group| all(workspace, group, &settings))
            .into(),
    )?;
    deny::run(workspace, &OFFLINE.map(str::to_owned))?;
    let bin = install::check(workspace)?;
    newcomer::check(workspace, &bin)
}

/// What somebody asked for: of the packages that they name, or of the tool.
fn chosen(workspace: &Workspace, arguments: &[String]) -> Command {
    let is_package = |argument: &String| argument == "-p" || argument.starts_with("--package");
    let mut command = cargo_test(workspace);
    if !arguments.iter().any(is_package) {
        workspace.select(Group::Tool, &mut command);
    }
    command.args(arguments);
    command
}

/// Every test of a group, whose programs are told `settings`.
fn all(workspace: &Workspace, group: Group, settings: &[String]) -> Command {
    let mut command = cargo_test(workspace);
    workspace.select(group, &mut command);
    // After so long a run, every failure is worth knowing.
    command.args(["--no-fail-fast", "--"]).args(settings);
    command
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--locked"]);
    if env::var_os(THREADS).is_none() {
        // Many tests wait for other processes.
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        command.env(THREADS, (2 * cores).to_string());
    }
    command
}
