//! `cargo xtask package`: every crate that is published builds from its own package, with the others from theirs, and on a toolchain
//! without wasm targets.
//!
//! A second toolchain would be a large download for one question: does anything of ours compile for a wasm target on the way? So our
//! own binary stands in for rustc as RUSTC_WRAPPER and refuses to. Nothing else builds the packages in `target/package`, so what is
//! fresh there has gone through it.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use xtask::shell;
use xtask::workspace::Workspace;

/// Set in the environment of the wrapper.
pub const REFUSE_WASM: &str = "XTASK_REFUSE_WASM";

/// Packs and builds them. Nothing is uploaded.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    // What is packed is the working copy, committed or not.
    command.args(["package", "--locked", "--allow-dirty"]);
    let mut count = 0;
    for package in workspace.packages.iter().filter(|it| it.is_published()) {
        command.args(["--package", &package.name]);
        count += 1;
    }
    ensure!(count > 0, "no package of the workspace is published");
    let wrapper = env::current_exe().context("failed to find our own binary")?;
    command.env("RUSTC_WRAPPER", wrapper).env(REFUSE_WASM, "1");
    shell::run(&mut command)
}

/// What this binary does as a RUSTC_WRAPPER: rustc's path and arguments come in, and go on unless they name wasm.
pub fn refuse_wasm(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let Some((rustc, rest)) = arguments.split_first() else {
        eprintln!("xtask: {REFUSE_WASM} is set, but there is no rustc to run");
        return ExitCode::FAILURE;
    };
    if names_wasm(rest) {
        eprintln!("xtask: a package compiles for a wasm target: {rest:?}");
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
