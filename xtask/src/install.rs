//! `cargo install --locked --path host/cli`, as someone without a wasm target does it, and then `adapt` and `run`.
//!
//! A second toolchain would be a large download for one question: does anything of ours compile for a wasm target
//! on the way? So our own binary stands in for rustc as RUSTC_WRAPPER and refuses to.

use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::tutorial::{self, Server};
use xtask::workspace::Workspace;
use xtask::{guests, shell};

/// Set in the environment of the wrapper.
pub const REFUSE_WASM: &str = "XTASK_REFUSE_WASM";

/// Installs into the target folder, then adapts and runs the tutorial with what was installed. Gives the folder that it is in.
pub fn check(workspace: &Workspace) -> Result<PathBuf> {
    shell::say("installing the command line tool as on a toolchain without wasm targets");
    let root = workspace.target.join("installed");
    shell::run(
        workspace
            .cargo()
            .args([
                "install", "--locked", "--path", "host/cli", "--debug", "--force", "--quiet",
                "--root",
            ])
            .arg(&root)
            // A folder of its own, in which all that is built is built through the wrapper: what is fresh has been seen.
            .env("CARGO_TARGET_DIR", workspace.target.join("install"))
            .env(
                "RUSTC_WRAPPER",
                env::current_exe().context("failed to find our own binary")?,
            )
            .env(REFUSE_WASM, "1"),
    )?;
    let tidegate = root
        .join("bin")
        .join(format!("tidegate{}", env::consts::EXE_SUFFIX));

    let [component] = guests::build(workspace, &["istio-tutorial"])?
        .try_into()
        .ok()
        .context("one component expected")?;
    let adapted = root.join("istio-tutorial.wasm");
    shell::run(
        Command::new(&tidegate)
            .arg("adapt")
            .arg(&component)
            .arg("-o")
            .arg(&adapted),
    )?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for (plugin, engine) in [(&component, "component"), (&adapted, "proxy-wasm")] {
        let server = Server::start(&tidegate, plugin, Some(engine), any_port)?;
        tutorial::send_three(server.address).with_context(|| format!("in engine {engine}"))?;
    }
    Ok(root.join("bin"))
}

/// What this binary does as a RUSTC_WRAPPER: rustc's path and arguments come in, and go on unless they name wasm.
pub fn refuse_wasm(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let Some((rustc, rest)) = arguments.split_first() else {
        eprintln!("xtask: {REFUSE_WASM} is set, but there is no rustc to run");
        return ExitCode::FAILURE;
    };
    if names_wasm(rest) {
        eprintln!("xtask: the installation compiles for a wasm target: {rest:?}");
        return ExitCode::FAILURE;
    }
    match Command::new(rustc).args(rest).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!(
                "xtask: failed to start {}: {error}",
                rustc.to_string_lossy()
            );
            ExitCode::FAILURE
        }
    }
}

/// `--target wasm32-wasip2` and `--target=wasm32-wasip2` alike.
fn names_wasm(arguments: &[OsString]) -> bool {
    let mut after_target = false;
    arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        let target = if after_target {
            Some(&*argument)
        } else {
            argument.strip_prefix("--target=")
        };
        let wasm = target.is_some_and(|target| target.starts_with("wasm"));
        after_target = argument == "--target";
        wasm
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> bool {
        names_wasm(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn wrapper_sees_wasm_targets_in_both_spellings() {
        assert!(names(&[
            "--crate-name",
            "bridge",
            "--target",
            "wasm32-unknown-unknown"
        ]));
        assert!(names(&["--target=wasm32-wasip2", "src/lib.rs"]));
        assert!(!names(&[
            "--crate-name",
            "wasmtime",
            "--target",
            "x86_64-unknown-linux-gnu",
            "wasm32"
        ]));
        assert!(!names(&["-"]));
    }
}
