//! `cargo xtask lint`: formatting and clippy, for each crate with the targets for which it is built.

use std::env;
use std::process::Command;

use anyhow::Result;

use xtask::workspace::{BRIDGE, Group, Workspace};
use xtask::{guests, shell};

/// Warnings are errors only here; in other builds, they remain warnings.
pub fn run(workspace: &Workspace) -> Result<()> {
    shell::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;

    for group in Group::ALL {
        let mut host = workspace.cargo();
        host.args(["clippy", "--locked", "--all-targets"]);
        workspace.select(group, &mut host);
        shell::run(host.args(["--", "-D", "warnings"]))?;
    }

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
    shell::run(bridge.args(["--", "-D", "warnings"]))?;
    workflows(workspace)
}

/// actionlint, which is built by `go run`.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";

/// Checks `.github/workflows` if Go is installed.
fn workflows(workspace: &Workspace) -> Result<()> {
    if shell::read(Command::new("go").arg("version")).is_err() {
        println!("SKIPPED: actionlint on .github/workflows: `go` is not on PATH");
        return Ok(());
    }
    let folder = workspace.root.join(".github/workflows");
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut command = Command::new("go");
    command
        .args(["run", ACTIONLINT, "-shellcheck="])
        .args(files)
        // Outside of any Go module of this repository.
        .current_dir(env::temp_dir())
        .env("GOFLAGS", "-mod=mod");
    shell::run(&mut command)
}
