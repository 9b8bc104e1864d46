//! Creates components from a world and WebAssembly text, and from the example plugin with each toolchain for
//! components.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test that includes this file needs a part of it"
)]

pub mod judge;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
pub use tidegate_components::{ADAPTER, Encoder, Recipe};

/// Creates a component from a module that contains its world.
pub fn encode(module: &[u8], preview1: Option<&[u8]>) -> Result<Vec<u8>> {
    Encoder::default().encode(module, preview1)
}

/// The toolchains that create a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `cargo build --target wasm32-wasip2`.
    Wasip2,
    /// `cargo component build`: a module for `wasm32-wasip1` with an adapter.
    Preview1,
    /// A module for `wasm32-unknown-unknown`, converted with wit-component.
    Bare,
}

// === impl Shape ===

impl Shape {
    /// All toolchains.
    pub const ALL: [Shape; 3] = [Shape::Wasip2, Shape::Preview1, Shape::Bare];

    fn target(self) -> &'static str {
        match self {
            Shape::Wasip2 => "wasm32-wasip2",
            Shape::Preview1 => "wasm32-wasip1",
            Shape::Bare => "wasm32-unknown-unknown",
        }
    }

    /// Builds the example plugin `bare`.
    pub fn build(self) -> Result<Vec<u8>> {
        self.build_in(&target_dir(), &[])
    }

    /// The same, with debug information.
    pub fn build_with_debug(self) -> Result<Vec<u8>> {
        let target = target_dir().join("with-debug");
        self.build_in(&target, &["--config", "profile.plugin.debug=true"])
    }

    fn build_in(self, target: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
        const GUEST: &str = "bare";
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args([
                "build",
                "--quiet",
                "--package",
                GUEST,
                "--profile",
                "plugin",
                "--target",
                self.target(),
            ])
            .args(arguments)
            .current_dir(workspace())
            .env("CARGO_TARGET_DIR", target)
            // The flags with which these tests are built are not intended for the guests.
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .stdin(Stdio::null());
        let output = command.output().context("failed to run cargo")?;
        if !output.status.success() {
            bail!(
                "failed to build `{GUEST}`; it requires the target {}, which `cargo xtask setup` installs:\n{}",
                self.target(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let file = target
            .join(self.target())
            .join("plugin")
            .join(format!("{GUEST}.wasm"));
        let module =
            std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        match self {
            Shape::Wasip2 => Ok(module),
            Shape::Preview1 => encode(&module, Some(ADAPTER)),
            Shape::Bare => encode(&module, None),
        }
    }
}

/// Returns the root directory of the workspace that contains these tests.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the target directory of this build, which the guests share.
fn target_dir() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).to_owned()
}
