//! Builds the greeter in C with bindings from the newest wit-bindgen, zig's compiler, and either release of
//! wit-component.

use crate::{Encoder, bindings};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether the plugin writes output with the C library, and therefore imports WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The plugin writes no output.
    Without,
    /// The plugin prints a line when it starts.
    With,
}

/// Code that prints a line to standard output when the plugin starts.
const PRINTS: &str = r#"#include <stdio.h>
__attribute__((constructor)) static void say(void) { printf("from C\n"); fflush(stdout); }
"#;

/// Writes the bindings for the world of the package `wit` to a directory, like `wit-bindgen c`.
pub fn bind(wit: &str, folder: &Path) -> Result<()> {
    bindings::generate(wit_bindgen_c::Opts::default().build(), wit, folder)
}

/// Builds the plugin in `folder`. `zig` is the directory in which pip installed zig.
pub fn build(zig: &Path, folder: &Path, output: Output, encoder: Encoder) -> Result<Vec<u8>> {
    let source = crate::workspace::root().join("guest/examples/greeter");
    fs::create_dir_all(folder)?;
    let wit = fs::read_to_string(source.join("c/wit/world.wit"))?;
    bind(&wit, folder)?;
    let prints = folder.join("prints.c");
    let text = match output {
        Output::Without => "",
        Output::With => PRINTS,
    };
    fs::write(&prints, text)?;
    let module = folder.join("core.wasm");
    let mut command = Command::new("python3");
    command
        .args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-Os"])
        .args(["-mexec-model=reactor", "-I."])
        .arg(source.join("c/plugin.c"))
        .args(["greeter.c", "prints.c", "greeter_component_type.o", "-o"])
        .arg(&module)
        .current_dir(folder)
        .env("PYTHONPATH", zig)
        .env("ZIG_GLOBAL_CACHE_DIR", zig.join("cache"))
        .stdin(Stdio::null());
    let done = command.output().context("failed to run python3")?;
    if !done.status.success() {
        bail!("zig failed:\n{}", String::from_utf8_lossy(&done.stderr));
    }
    let preview1 = (output == Output::With).then(|| encoder.adapter());
    encoder.encode(&fs::read(module)?, preview1)
}
