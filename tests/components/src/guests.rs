//! Builds the plugins that scenarios run from this workspace's crates, with each of the toolchains for components.
//!
//! Cargo is run within `cargo test`. A guest is built once per process, and only if a test needs it. The profile is
//! `plugin`, with which plugins are released.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;

use crate::workspace;

/// The toolchain that creates a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `cargo build --target wasm32-wasip2`.
    Wasip2,
    /// `cargo build --target wasm32-unknown-unknown`, followed by wit-component.
    Bare,
    /// `cargo component build`.
    CargoComponent,
}

/// A component and the module that the adapter creates from it.
#[derive(Debug, Clone)]
pub struct Built {
    /// The component.
    pub component: Bytes,
    /// The Proxy-Wasm module.
    pub module: Bytes,
}

/// Builds a guest crate and adapts it.
pub fn build(guest: &str, shape: Shape) -> Result<Built> {
    type Memo = Mutex<HashMap<(String, Shape), Arc<OnceLock<Result<Built, String>>>>>;
    static BUILT: LazyLock<Memo> = LazyLock::new(Memo::default);
    let entry = {
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built.entry((guest.to_owned(), shape)).or_default().clone()
    };
    let result = entry.get_or_init(|| {
        let build = || -> Result<Built> {
            let component = component(guest, shape)?;
            adapted(guest, component).with_context(|| shape.to_string())
        };
        build().map_err(|error| format!("{error:#}"))
    });
    result.clone().map_err(|error| anyhow!(error))
}

/// Adapts a component.
pub fn adapted(guest: &str, component: Vec<u8>) -> Result<Built> {
    let module = tidegate_adapter::adapt(&component, &tidegate_adapter::Options::default())
        .with_context(|| format!("failed to adapt `{guest}`"))?;
    Ok(Built {
        component: component.into(),
        module: module.into(),
    })
}

/// Builds a crate that is a Proxy-Wasm module itself, because it uses a Proxy-Wasm SDK.
pub fn build_module(guest: &str) -> Result<Bytes> {
    let file = cargo(guest, &["build", "--target", "wasm32-wasip1"], None)?;
    read(&file).map(Bytes::from)
}

/// Builds a component.
pub fn component(guest: &str, shape: Shape) -> Result<Vec<u8>> {
    match shape {
        Shape::Wasip2 => read(&cargo(
            guest,
            &["build", "--target", "wasm32-wasip2"],
            None,
        )?),
        Shape::Bare => {
            let module = read(&cargo(
                guest,
                &["build", "--target", "wasm32-unknown-unknown"],
                None,
            )?)?;
            wit_component::ComponentEncoder::default()
                .validate(true)
                .module(&module)
                .and_then(|mut encoder| encoder.encode())
                .with_context(|| format!("failed to create a component from `{guest}`"))
        }
        Shape::CargoComponent => read(&cargo(
            guest,
            &["component", "build"],
            Some(&cargo_component()?),
        )?),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("failed to read {}", file.display()))
}

/// Runs cargo, or a program that accepts its arguments, and returns the path of the built file.
fn cargo(guest: &str, arguments: &[&str], program: Option<&Path>) -> Result<PathBuf> {
    let target = workspace::target();
    fs::create_dir_all(&target)
        .with_context(|| format!("failed to create {}", target.display()))?;
    // Cargo's own lock does not cover cargo-component, which rewrites cargo's output.
    let lock =
        File::create(target.join(".guests.lock")).context("failed to create the lock file")?;
    lock.lock().context("failed to lock the lock file")?;

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program.map_or(Path::new(&cargo), |program| program));
    command
        .args(arguments)
        .args([
            "--package",
            guest,
            "--profile",
            "plugin",
            "--message-format",
            "json-render-diagnostics",
            "--quiet",
        ])
        .current_dir(workspace::root())
        .env("CARGO", &cargo)
        .env("CARGO_TARGET_DIR", &target)
        // The flags with which these tests are built are not intended for the guests.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "failed to build `{guest}` with `{}` (are the wasm targets installed? Run `cargo xtask setup`):\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    artifact(guest, &String::from_utf8_lossy(&output.stdout))
}

/// Returns the path of the `.wasm` file in cargo's messages.
fn artifact(guest: &str, messages: &str) -> Result<PathBuf> {
    let crate_name = guest.replace('-', "_");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| {
            message["target"]["name"]
                .as_str()
                .is_some_and(|name| name.replace('-', "_") == crate_name)
        })
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .rfind(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .with_context(|| {
            format!("cargo created no .wasm file for `{guest}`; is its crate-type `cdylib`?")
        })
}

/// Returns the path of `cargo-component`: the one in `TIDEGATE_CARGO_COMPONENT`, the one that `cargo xtask setup`
/// installed, or the one on the PATH.
fn cargo_component() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("TIDEGATE_CARGO_COMPONENT") {
        return Ok(named.into());
    }
    let name = format!("cargo-component{}", std::env::consts::EXE_SUFFIX);
    let installed = workspace::target().join("tools/bin").join(&name);
    if installed.is_file() {
        return Ok(installed);
    }
    let found = Command::new(&name)
        .args(["component", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    ensure!(
        found,
        "cargo-component is not installed; run `cargo xtask setup`"
    );
    Ok(name.into())
}

// === impl Shape ===

impl Shape {
    /// All toolchains.
    pub const ALL: [Self; 3] = [Self::Wasip2, Self::Bare, Self::CargoComponent];
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wasip2 => "wasip2",
            Self::Bare => "bare",
            Self::CargoComponent => "cargo-component",
        })
    }
}
