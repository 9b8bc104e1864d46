//! Builds plugins written in Go, with the steps in `guest/go/README.md`.

use crate::{ADAPTER_NAME, Encoder, Recipe, bindings};
use anyhow::{Context, Result, bail};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns whether Go is on the PATH.
pub fn is_there() -> bool {
    let version = Command::new("go")
        .arg("version")
        .stdin(Stdio::null())
        .output();
    version.is_ok_and(|output| output.status.success())
}

/// Builds the plugin `guest/go/NAME` or `tests/go/NAME` in a directory under `target`.
pub fn build(name: &str, target: &Path) -> Result<Vec<u8>> {
    let sources = crate::workspace::root().join("guest/go");
    let places = [
        sources.join(name),
        crate::workspace::root().join("tests/go").join(name),
    ];
    let Some(source) = places.iter().find(|place| place.is_dir()) else {
        bail!("there is no plugin {}", places[0].display());
    };
    let folder = target.join("go-plugins").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let wit = fs::read_to_string(source.join("world.wit"))?;
    bind(&wit, &folder)?;
    // Copied after the bindings, which include a different `go.mod`.
    for file in ["allocator.go", "go.mod", "go.sum"] {
        fs::copy(sources.join(file), folder.join(file))?;
    }
    copy(source, &folder)?;
    let module = compile(&folder)?;
    encode(&wit, fs::read(module)?)
}

/// Writes the bindings for the world of the package `wit` to a directory, like `wit-bindgen go`.
pub fn bind(wit: &str, folder: &Path) -> Result<()> {
    bindings::generate(wit_bindgen_go::Opts::default().build(), wit, folder)
}

/// Creates a component for that world from a module that Go compiled, like wasm-tools.
pub fn encode(wit: &str, module: Vec<u8>) -> Result<Vec<u8>> {
    let recipe = Recipe {
        wit,
        module: Some(module),
        preview1: Some(Cow::Borrowed(Encoder::Newest.adapter())),
        encoder: Encoder::Newest,
        ..Recipe::default()
    };
    recipe
        .make()
        .with_context(|| format!("failed to create a component with {ADAPTER_NAME}"))
}

/// Copies the files of a directory, replacing existing ones.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => {
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}

fn compile(folder: &Path) -> Result<PathBuf> {
    let module = folder.join("core.wasm");
    let mut command = Command::new("go");
    command
        .args(["build", "-buildmode=c-shared"])
        // The runtime package of the bindings uses internal functions of Go's runtime, which requires
        // `-checklinkname=0`. `-s -w` omits debug information, which a module cannot use.
        .arg("-ldflags=-checklinkname=0 -s -w")
        .arg("-o")
        .arg(&module)
        .arg(".")
        .current_dir(folder)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .env("GOWORK", "off")
        .stdin(Stdio::null());
    let output = command.output().context("failed to run go")?;
    if !output.status.success() {
        bail!(
            "go build failed in {}:\n{}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(module)
}
