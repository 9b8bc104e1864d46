//! `cargo xtask package`: every crate that is published builds from its own package, with the others from theirs, and on a toolchain
//! without wasm targets.
//!
//! A second toolchain would be a large download for one question: does anything of ours compile for a wasm target on the way? So our
//! own binary stands in for rustc as RUSTC_WRAPPER and refuses to. Nothing else builds the packages in `target/package`, so what is
//! fresh there has gone through it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
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
    forget(workspace)?;
    let wrapper = env::current_exe().context("failed to find our own binary")?;
    command.env("RUSTC_WRAPPER", wrapper).env(REFUSE_WASM, "1");
    shell::run(&mut command)
}

/// Removes what an earlier run left of our packages. Cargo serves them from a registry of its own making, and takes what comes from a
/// registry for immutable: of the same version it would unpack and build nothing again.
fn forget(workspace: &Workspace) -> Result<()> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("failed to find cargo's home directory")?;
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        workspace.packages.iter().any(|package| {
            let rest = name.strip_prefix(&*package.name);
            // A version, or the hash of a build.
            rest.and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest.starts_with(|it: char| it.is_ascii_hexdigit()))
        })
    };
    for kind in ["src", "cache"] {
        for registry in entries(&home.join("registry").join(kind)) {
            // A registry in a directory has no host, with which the names of others begin.
            let name = registry.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with('-') {
                entries(&registry)
                    .into_iter()
                    .filter(|path| is_ours(path))
                    .try_for_each(|path| remove(&path))?;
            }
        }
    }
    let unpacked = Path::new("registry").join("src").join("-");
    let unpacked = unpacked.to_string_lossy();
    for file in entries(&workspace.target.join("debug/deps")) {
        // What a build was made from, and its hash.
        let is_list = file.extension().is_some_and(|it| it == "d");
        if !is_list || !fs::read_to_string(&file).is_ok_and(|it| it.contains(&*unpacked)) {
            continue;
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let Some((_, hash)) = name.rsplit_once('-') else {
            continue;
        };
        let builds = entries(&workspace.target.join("debug/.fingerprint"));
        builds
            .into_iter()
            .filter(|build| build.to_string_lossy().ends_with(&format!("-{hash}")))
            .try_for_each(|build| remove(&build))?;
        remove(&file)?;
    }
    Ok(())
}

/// What is in a directory, nothing if it does not exist.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.with_context(|| format!("failed to remove {}", path.display()))
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
