//! `cargo xtask test`: installs what the tests need, then runs all tests.

use std::env;
use std::num::NonZero;
use std::process::Command;
use std::thread;

use anyhow::Result;

use crate::{deny, install, newcomer, slowest, tools};
use xtask::setup;
use xtask::workspace::{Group, Workspace};

/// The number of tests of a program that run in parallel.
const THREADS: &str = "RUST_TEST_THREADS";

/// The checks of cargo-deny that need no network.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// With `arguments`, runs only `cargo test` with these.
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

/// Runs the tests that the arguments select: of the named packages, or of the command-line tool.
fn chosen(workspace: &Workspace, arguments: &[String]) -> Command {
    let is_package = |argument: &String| argument == "-p" || argument.starts_with("--package");
    let mut command = cargo_test(workspace);
    if !arguments.iter().any(is_package) {
        workspace.select(Group::Tool, &mut command);
    }
    command.args(arguments);
    command
}

/// Runs all tests of a group with these environment variables.
fn all(workspace: &Workspace, group: Group, settings: &[String]) -> Command {
    let mut command = cargo_test(workspace);
    workspace.select(group, &mut command);
    // All failures are reported, because the run takes long.
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
