//! What must be on a machine before anything is built: the toolchain's wasm targets, the dependencies' sources, and
//! cargo-component.
//!
//! Envoy is not fetched here: the tests that need it fetch it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::workspace::Workspace;

/// The targets of the three build shapes: a component straight from rustc, a preview1 module for cargo-component,
/// a bare module for `wit-component` and the bridge.
const TARGETS: [&str; 3] = ["wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-wasip2"];

/// The release of cargo-component whose output the adapter's tests take as input.
const CARGO_COMPONENT: &str = "0.21.1";

/// All of it.
pub fn run(workspace: &Workspace) -> Result<()> {
    targets(workspace)?;
    sources(workspace)?;
    cargo_component(workspace)
}

/// Adds the wasm targets that the pinned toolchain lacks.
pub fn targets(workspace: &Workspace) -> Result<()> {
    let missing: Vec<&str> = TARGETS
        .into_iter()
        .filter(|target| !has_target(target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // rustup names the toolchain in use; it may be another than the pinned one (`cargo +stable xtask ...`).
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

/// Asks rustc, not rustup: a distribution's toolchain may have the targets too.
fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    shell::read(Command::new(rustc).args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Downloads what the lock file names, for every platform, so that `cargo xtask deny` can read all manifests offline.
fn sources(workspace: &Workspace) -> Result<()> {
    let fetched = shell::run(workspace.cargo().args(["fetch", "--locked", "--quiet"]));
    match fetched {
        Err(error) if env::var_os("CI").is_none() => {
            shell::say(&format!(
                "SKIPPED: {error:#} (offline?); `cargo xtask deny` will fail where a manifest is missing"
            ));
            Ok(())
        }
        fetched => fetched,
    }
}

/// Installs cargo-component into the target folder. Tests that need it look there.
fn cargo_component(workspace: &Workspace) -> Result<()> {
    let root = workspace.target.join("tools");
    let binary = binary(&root);
    if version_of(&binary).as_deref() == Some(CARGO_COMPONENT) {
        return Ok(());
    }
    let name = format!("cargo-component@{CARGO_COMPONENT}");
    if shell::read(workspace.cargo().args(["info", "--quiet", &name])).is_err() {
        if env::var_os("CI").is_some() {
            bail!("the registry does not answer for {name}, and a CI run must not skip its tests");
        }
        shell::say(&format!(
            "SKIPPED: {name} cannot be fetched (offline?); tests of `cargo component build` will fail"
        ));
        return Ok(());
    }
    shell::say(&format!("installing {name} into {}", root.display()));
    // An unoptimised build is made in a third of the time, and componentising a plugin with it still takes a moment.
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
        .context("failed to remove what the build of cargo-component left")?;
    match version_of(&binary) {
        Some(version) if version == CARGO_COMPONENT => Ok(()),
        other => bail!(
            "{} should be {CARGO_COMPONENT} but says {other:?}",
            binary.display()
        ),
    }
}

/// `cargo component` in the root folder, if it is here: the one that was installed into the target folder, or one on the path.
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

/// `cargo-component-component 0.21.1 (…)`: the second word.
fn version_of(binary: &Path) -> Option<String> {
    let text = shell::read(Command::new(binary).args(["component", "--version"])).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
