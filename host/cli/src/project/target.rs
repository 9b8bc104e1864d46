//! Checks whether the toolchain has the WebAssembly target, and installs it.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::logs::{Unavailable, detail, note};

/// Whether the toolchain has the target. This runs rustc and not rustup, which does not know toolchains of distributions.
pub fn is_there(target: &str) -> anyhow::Result<bool> {
    let output = Command::new(rustc())
        .args(["--print", "target-libdir", "--target", target])
        .stdin(Stdio::null())
        .output()
        .context(
            "cannot run rustc; install it from https://rustup.rs, and see `tidegate doctor`",
        )?;
    let folder = String::from_utf8_lossy(&output.stdout);
    let is_there = output.status.success() && Path::new(folder.trim()).is_dir();
    detail(|| match is_there {
        true => format!("target {target}: `{}`", folder.trim()),
        false => format!("target {target}: not installed"),
    });
    Ok(is_there)
}

/// The compiler: the program that `RUSTC` specifies, or `rustc`.
pub fn rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Installs the target with rustup if it is missing. Prompts first on a terminal; otherwise, `yes` is required.
pub fn ensure(target: &str, yes: bool) -> anyhow::Result<()> {
    if is_there(target)? {
        return Ok(());
    }
    let rustup = Command::new("rustup")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    if !rustup {
        let message = format!(
            "the target {target} is not installed in the Rust toolchain, and rustup is not available to add it; install it from where the toolchain came from, or install rustup from https://rustup.rs"
        );
        return Err(Unavailable(message).into());
    }
    if !yes && !asked(target)? {
        bail!(
            "the target {target} is not installed in the Rust toolchain; add it with `rustup target add {target}`, or pass `--yes`"
        );
    }
    note(&format!("adding {target} to the Rust toolchain"));
    let status = Command::new("rustup")
        .args(["target", "add", target])
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .context("cannot run rustup")?;
    if !status.success() {
        bail!("`rustup target add {target}` ended with {status}");
    }
    Ok(())
}

/// Prompts the user if standard input is a terminal.
fn asked(target: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut stderr = io::stderr().lock();
    write!(
        stderr,
        "The target {target} is not installed in the Rust toolchain. Add it with rustup? [Y/n] "
    )
    .and_then(|()| stderr.flush())
    .context("cannot ask")?;
    let mut answer = String::new();
    let read = io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    // The end of the input is not consent, although an empty line is.
    let consents = matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "" | "y" | "yes"
    );
    Ok(read > 0 && consents)
}
