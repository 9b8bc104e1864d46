//! How the bridge's artefact is built, in one place: `cargo xtask bridge` and the adapter's test include this file.
//!
//! rustc is run directly and not through cargo, whose metadata, configuration and flags from the environment all
//! show in symbol names. So the same bytes come out of every checkout, wherever it lies. The toolchain is the one that
//! `rust-toolchain.toml` pins; it needs the target `wasm32-unknown-unknown`.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The artefact's name in the bridge's folder.
pub const ARTEFACT: &str = "tidegate_bridge.wasm";

/// Flags of rustc, each with what would be wrong without it.
const FLAGS: &[&str] = &[
    "--crate-name=tidegate_bridge",
    "--crate-type=cdylib",
    "--edition=2024",
    "--target=wasm32-unknown-unknown",
    // Warnings are for `cargo xtask lint`, which names them once.
    "--cap-lints=allow",
    // Calls and copies that are not made; an unoptimised build has data, too.
    "-Copt-level=s",
    "-Clto=fat",
    "-Ccodegen-units=1",
    // Messages of panics would be data.
    "-Cpanic=abort",
    "-Cdebug-assertions=no",
    "-Coverflow-checks=no",
    // A dense `match` would become a table, which is data.
    "-Cjump-tables=no",
    // Memory is the guest's.
    "-Clink-arg=--import-memory",
    // So is the stack, which `_initialize` takes from the guest.
    "-Clink-arg=-zstack-size=0",
    "-Clink-arg=--no-entry",
    // No debug information and no list of producers, but names: they become backtraces.
    "-Clink-arg=--strip-all",
    "-Clink-arg=--keep-section=name",
];

/// The command that builds the bridge, whose folder is `bridge`, as [`ARTEFACT`] into the folder `output`, an absolute
/// path. The file's name is part of the name section, so it may not be another.
pub fn command(bridge: &Path, output: &Path) -> Command {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    // The source's path is relative, since a bridge that knew where it was built would differ by checkout.
    command
        .current_dir(bridge)
        .args(FLAGS)
        .arg("src/lib.rs")
        .arg("-o")
        .arg(output.join(ARTEFACT));
    // Set by a running cargo, it would win over the toolchain that is pinned.
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}
