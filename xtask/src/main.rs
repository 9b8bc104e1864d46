//! `cargo xtask`: development tasks that `cargo` cannot do alone.
//!
//! This file parses and dispatches; each command has its own file. There are few dependencies, so that the first command on a new machine
//! starts quickly. Requirements are checked by tests in `tests/`, not here.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod bridge;
mod demo;
mod deny;
mod doc;
mod install;
mod lint;
mod newcomer;
mod package;
mod slowest;
mod soak;
mod test;
mod tools;
mod tutorial;

use xtask::workspace::Workspace;
use xtask::{guests, setup, shell};

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  setup [--targets]      Install the wasm targets, dependency sources and cargo-component; --targets: only the targets
  demo [--once] [--port PORT]
                         Build the tutorial plugin, run it, send its three requests, and keep serving
  test [ARGS...]         Install what the tests need, then run all tests, including those in Envoy; with ARGS, run only
                         `cargo test ARGS`
  build-guests           Build every plugin and example as a component
  bridge [--check]       Build the bridge and write it to adapter/; --check compares it with the checked-in file
  e2e istio              Check all fixtures of `check`, all manifests and all images with Istio's own code; needs Go, and
                         docker-registry for the images
  e2e gateway            Translate the output of `manifest envoy-extension-policy` with Envoy Gateway's own code; needs Go
                         and docker-registry. The first build takes six minutes
  e2e mesh [--bless]     Run the tutorial with a real Kubernetes API server, Istio and Envoy, and check all fixtures with
                         the API server; --bless writes its verdicts to the repository. The first build takes ten minutes
  soak [NAME...]         Run the tests that take longer than a test run, each with a limit; the default is all of them:
{SOAK}
  lint                   Check formatting and run clippy, with warnings as errors; plugins and the bridge for their targets
  doc                    Build the documentation of every crate except the bridge, with warnings as errors
  package                Build every published crate from its own package; nothing is uploaded
  deny [CHECK...]        Check licenses, sources and advisories of all dependencies with cargo-deny, if it is installed

`demo` and `test` run the part of `setup` that they need.";

fn main() -> ExitCode {
    // When this binary is used as RUSTC_WRAPPER, it is called with rustc's path and arguments instead of a command.
    if env::var_os(package::REFUSE_WASM).is_some() {
        return package::refuse_wasm(env::args_os().skip(1));
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty()
        || arguments
            .iter()
            .any(|argument| argument == "-h" || argument == "--help")
    {
        println!("{}", usage());
        return if arguments.is_empty() {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        };
    }
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let soak: Vec<String> = soak::names()
        .map(|(name, what)| format!("{:25}{name}: {what}", ""))
        .collect();
    USAGE.replace("{SOAK}", &soak.join("\n"))
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let [command, rest @ ..] = arguments else {
        bail!("no command given\n{}", usage())
    };
    let workspace = Workspace::find().context("failed to find the workspace")?;
    match command.as_str() {
        "setup" => match rest {
            [] => setup::run(&workspace),
            [flag] if flag == "--targets" => setup::targets(&workspace),
            _ => bail!("setup takes `--targets` or nothing"),
        },
        "demo" => demo::run(&workspace, &demo::Options::parse(rest)?),
        "test" => test::run(&workspace, rest),
        "build-guests" => {
            none(rest)?;
            setup::targets(&workspace)?;
            guests::build_all(&workspace)
        }
        "bridge" => {
            let check = match rest {
                [] => false,
                [flag] if flag == "--check" => true,
                _ => bail!("bridge takes `--check` or nothing"),
            };
            setup::targets(&workspace)?;
            bridge::run(&workspace, check)
        }
        "lint" => {
            none(rest)?;
            setup::targets(&workspace)?;
            lint::run(&workspace)
        }
        "doc" => {
            none(rest)?;
            doc::run(&workspace)
        }
        "deny" => deny::run(&workspace, rest),
        "package" => {
            none(rest)?;
            package::run(&workspace)
        }
        "soak" => soak::run(&workspace, rest),
        "e2e" => {
            let mut command = workspace.cargo();
            command.args(["run", "--locked", "--package", "tidegate-e2e", "--"]);
            shell::run(command.args(rest))
        }
        unknown => bail!("no command `{unknown}`\n{}", usage()),
    }
}

fn none(rest: &[String]) -> Result<()> {
    if rest.is_empty() {
        Ok(())
    } else {
        bail!("takes no arguments, got `{}`", rest.join(" "))
    }
}
