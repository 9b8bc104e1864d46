//! Installs what a build requires: the toolchain's wasm targets, the sources of dependencies, and cargo-component.
//!
//! Envoy is downloaded by the tests that need it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::workspace::Workspace;

/// The targets of the three build shapes: a component directly from rustc, a preview 1 module for cargo-component, and a bare module for
/// `wit-component` and the bridge.
const TARGETS: [&str; 3] = ["wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-wasip2"];

/// The release of cargo-component whose output the adapter's tests use as input.
const CARGO_COMPONENT: &str = "0.21.1";

/// Installs everything.
pub fn run(workspace: &Workspace) -> Result<()> {
    targets(workspace)?;
    sources(workspace)?;
    cargo_component(workspace)
}

/// Installs the wasm targets that the pinned toolchain lacks.
pub fn targets(workspace: &Workspace) -> Result<()> {
    let missing: Vec<&str> = TARGETS
        .into_iter()
        .filter(|target| !has_target(target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // rustup names the active toolchain, which may be another than the pinned one (`cargo +stable xtask ...`).
    let toolchain = env::var("RUSTUP_TOOLCHAIN").map_or_else(|_| workspace.toolchain(), Ok)?;
    shell::say(&format!(
        "adding {} to toolchain {toolchain}",
        missing.join(", ")
    ));
    let mut command = Command::new("rustup");
    command
        .current_dir(&workspace.root)
        .args(["target", "add", "--toolchain", &toolchain])
        .args(&missing);
    shell::run(&mut command).with_context(|| {
        format!(
            "the toolchain lacks {}; add them with rustup or your distribution's packages",
            missing.join(", ")
        )
    })
}

/// Runs rustc and not rustup, which does not know toolchains of distributions.
fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    shell::read(Command::new(rustc).args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Downloads the packages in the lock file for all platforms, so that `cargo xtask deny` can read all manifests offline.
fn sources(workspace: &Workspace) -> Result<()> {
    let fetched = shell::run(workspace.cargo().args(["fetch", "--locked", "--quiet"]));
    match fetched {
        Err(error) if env::var_os("CI").is_none() => {
            shell::say(&format!(
                "SKIPPED: {error:#} (offline?); `cargo xtask deny` will fail if a manifest is missing"
            ));
            Ok(())
        }
        fetched => fetched,
    }
}

/// Installs cargo-component into the target directory, where tests search for it.
fn cargo_component(workspace: &Workspace) -> Result<()> {
    let root = workspace.target.join("tools");
    let binary = binary(&root);
    if version_of(&binary).as_deref() == Some(CARGO_COMPONENT) {
        return Ok(());
    }
    let name = format!("cargo-component@{CARGO_COMPONENT}");
    if shell::read(workspace.cargo().args(["info", "--quiet", &name])).is_err() {
        if env::var_os("CI").is_some() {
            bail!("failed to query the registry for {name}, whose tests must not be skipped in CI");
        }
        shell::say(&format!(
            "SKIPPED: failed to download {name} (offline?); tests of `cargo component build` will fail"
        ));
        return Ok(());
    }
    shell::say(&format!("installing {name} into {}", root.display()));
    // An unoptimized build takes a third of the time, and is still fast enough.
    shell::run(
        workspace
            .cargo()
            .args([
                "install", &name, "--locked", "--debug", "--force", "--quiet", "--root",
            ])
            .arg(&root)
            .env("CARGO_TARGET_DIR", root.join("build"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0"),
    )?;
    std::fs::remove_dir_all(root.join("build"))
        .context("failed to remove the build directory of cargo-component")?;
    match version_of(&binary) {
        Some(version) if version == CARGO_COMPONENT => Ok(()),
        other => bail!(
            "expected {} to have version {CARGO_COMPONENT}, got {other:?}",
            binary.display()
        ),
    }
}

/// The command `cargo component` in the root directory, if it is installed in the target directory or on PATH.
pub fn cargo_with_component(workspace: &Workspace) -> Option<Command> {
    let tools = workspace.target.join("tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&path))).ok()?;
    let cargo = || {
        let mut cargo = workspace.cargo();
        cargo.env("PATH", &path).arg("component");
        cargo
    };
    shell::read(cargo().arg("--version")).ok()?;
    Some(cargo())
}

fn binary(root: &Path) -> PathBuf {
    root.join("bin")
        .join(format!("cargo-component{}", env::consts::EXE_SUFFIX))
}

/// Parses `cargo-component-component 0.21.1 (…)`: the version is the second word.
fn version_of(binary: &Path) -> Option<String> {
    let text = shell::read(Command::new(binary).args(["component", "--version"])).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
