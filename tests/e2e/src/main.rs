//! `cargo xtask e2e`: end-to-end tests with other projects' software, which `cargo test` cannot run on every machine.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use xtask::workspace::Workspace;

mod gateway;
mod istio;
mod mesh;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let workspace = Workspace::find().context("failed to find the workspace")?;
    match arguments {
        [what] if what == "istio" => istio::run(&workspace),
        [what] if what == "gateway" => gateway::run(&workspace),
        [what, rest @ ..] if what == "mesh" => mesh::run(&workspace, rest),
        _ => bail!(
            "e2e takes `istio`, `gateway` or `mesh`, got `{}`",
            arguments.join(" ")
        ),
    }
}
