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
  setup [--targets]      Add the wasm targets, the dependencies' sources and cargo-component; --targets adds only the first
  demo [--once] [--port PORT]
                         Build the tutorial plugin, run it, send its three requests, keep serving
  test [ARGS...]         All set-up, then every test, Envoy's included; ARGS go to `cargo test` and run only that
  build-guests           Build every plugin and example as a component
  bridge [--check]       Build the bridge into adapter/; --check compares with what is checked in
  e2e istio              Istio's own code judges every fixture of `check`, every manifest and every image; needs Go,
                         and docker-registry for the images
  e2e gateway            Envoy Gateway's own translator judges what `manifest envoy-extension-policy` prints; needs Go and
                         docker-registry. Builds for six minutes the first time
  e2e mesh [--bless]     The tutorial on a real Kubernetes API server, Istio and Envoy, and the API server's verdict on
                         every fixture; --bless writes the verdicts down. Builds for ten minutes the first time
  soak [NAME...]         The tests that take longer than a test run, each with a bound; all unless named:
{SOAK}
  lint                   Formatting and clippy, warnings as errors; plugins and the bridge for their own targets
  doc                    The documentation of every crate but the bridge, warnings as errors
  package                Build every crate that is published from its own package; nothing is uploaded
  deny [CHECK...]        Licences, sources and advisories of all dependencies, by cargo-deny where it is installed

`demo` and `test` do the set-up that they need.";

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
