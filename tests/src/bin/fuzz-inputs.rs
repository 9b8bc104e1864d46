//! Writes components of every shape into a folder, for the adapter's fuzz target: the guests in text form by both releases of
//! wit-component, Rust's three targets, C, Go, JavaScript and Python. It says which are left out, and why.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tidegate_adapter::Options;
use tidegate_components::c::{self, Output};
use tidegate_components::guests::{self, Shape};
use tidegate_components::languages::{self, Language, ZIG};
use tidegate_components::workspace;
use tidegate_components::{Encoder, go};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("usage: fuzz-inputs <FOLDER>")?;
    if folder.is_dir() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let mut count = 0;
    let mut write = |name: &str, component: &[u8]| -> Result<()> {
        // A component that is refused shows little when it is damaged.
        if let Err(error) = tidegate_adapter::adapt(component, &Options::default()) {
            println!("{name}: left out: {error}");
            return Ok(());
        }
        let file = folder.join(name).with_extension("wasm");
        fs::write(&file, component)
            .with_context(|| format!("failed to write {}", file.display()))?;
        println!("{name}: {} bytes", component.len());
        count += 1;
        Ok(())
    };

    for name in text_guests()? {
        for encoder in Encoder::ALL {
            // The earlier adapter for preview 1 lacks what this guest imports of it.
            if name == "clock-paused" && encoder == Encoder::Wasmtime {
                continue;
            }
            if let Some(component) = tidegate_components::guest(&name, encoder)? {
                write(&format!("{name}-{encoder:?}"), &component)?;
            }
        }
    }
    for guest in ["bare", "probe", "sdk-probe"] {
        for shape in Shape::ALL {
            write(
                &format!("{guest}-{shape}"),
                &guests::component(guest, shape)?,
            )?;
        }
    }
    if languages::has_pip() {
        let zig = languages::pip(ZIG)?;
        for output in [Output::Without, Output::With] {
            for encoder in Encoder::ALL {
                let name = format!("c-{output:?}-{encoder:?}");
                let target = workspace::target().join("languages").join(&name);
                write(&name, &c::build(&zig, &target, output, encoder)?)?;
            }
        }
    } else {
        println!("c: SKIPPED: there is no Python with pip");
    }
    if go::is_there() {
        let component = go::build("greeter", &workspace::target().join("languages"))?;
        write("go-greeter", &component)?;
    } else {
        println!("go-greeter: SKIPPED: there is no `go` on the path");
    }
    for language in [Language::JavaScript, Language::Python] {
        match languages::build(language)? {
            Ok(component) => write(&language.to_string(), &component)?,
            Err(missing) => println!("{language}: SKIPPED: {missing}"),
        }
    }
    println!("{count} components");
    Ok(())
}

/// The names of the guests of `tests/wat`.
fn text_guests() -> Result<Vec<String>> {
    let folder: &Path = &workspace::root().join("tests/wat");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
