//! The command that builds the bridge's artefact. `cargo xtask bridge` and the adapter's test both include this file,
//! so that they build it the same way.
//!
//! The build is reproducible: every checkout produces the same bytes, regardless of its path. For this reason, rustc
//! is invoked directly and not through cargo, whose metadata, configuration and flags from the environment all affect
//! symbol names. The toolchain is the one that `rust-toolchain.toml` pins; it requires the target
//! `wasm32-unknown-unknown`. `README.md` describes what the artefact may contain.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The artefact's name in the adapter's sources.
pub const ARTEFACT: &str = "tidegate_bridge.wasm";

/// Flags for rustc, each with its reason.
const FLAGS: &[&str] = &[
    "--crate-name=tidegate_bridge",
    "--crate-type=cdylib",
    "--edition=2024",
    "--target=wasm32-unknown-unknown",
    // Warnings are reported by `cargo xtask lint`, once.
    "--cap-lints=allow",
    // Fewer calls and copies. An unoptimised build would also contain data segments.
    "-Copt-level=s",
    "-Clto=fat",
    "-Ccodegen-units=1",
    // Panic messages would be data segments.
    "-Cpanic=abort",
    "-Cdebug-assertions=no",
    "-Coverflow-checks=no",
    // A dense `match` would be compiled to a lookup table, which is a data segment.
    "-Cjump-tables=no",
    // The memory belongs to the guest.
    "-Clink-arg=--import-memory",
    // So does the stack, which `_initialize` allocates from it.
    "-Clink-arg=-zstack-size=0",
    "-Clink-arg=--no-entry",
    // No debug information and no producers section, but the names, which appear in backtraces.
    "-Clink-arg=--strip-all",
    "-Clink-arg=--keep-section=name",
];

/// Returns the command that builds the bridge in the directory `bridge` and writes [`ARTEFACT`] to the directory
/// `output`, which must be an absolute path. The file name is part of the name section, so it is fixed.
pub fn command(bridge: &Path, output: &Path) -> Command {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    // The path of the source is relative, because an absolute one would make the artefact differ between checkouts.
    command
        .current_dir(bridge)
        .args(FLAGS)
        .arg("src/lib.rs")
        .arg("-o")
        .arg(output.join(ARTEFACT));
    // A running cargo sets this variable, which would override the pinned toolchain.
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}
