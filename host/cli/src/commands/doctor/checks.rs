//! The requirements for building plugins, and optional ones, in the order in which they are fixed.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::machine::{Rust, installation, output, python, rust, rustup};
use crate::project::{Tool, cargo, target};
use crate::{cache, file};

/// A requirement that was checked.
pub struct Check {
    pub name: String,
    /// Whether plugins cannot be built without it.
    pub required: bool,
    pub state: State,
}

/// The result of a check.
pub enum State {
    /// The requirement is met. Contains the version or the location.
    Found(String),
    /// The requirement is missing or unsuitable.
    Lacks {
        why: String,
        /// The commands that fix it, in order.
        fix: Vec<String>,
    },
}

/// The oldest version of Rust that builds plugins. It is the same for the SDK and this tool.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// The commands that install rustup.
const GET_RUSTUP: &[&str] = if cfg!(windows) {
    &["winget install --id Rustlang.Rustup"]
} else {
    &[
        "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh",
        ". \"$HOME/.cargo/env\"",
    ]
};

/// Checks all requirements.
pub fn all() -> Vec<Check> {
    let (cache, folder) = cache();
    let rustup = rustup();
    let rust = rust();
    // The linker and the target are tested by building something, if possible.
    let trial = match (&folder, &rust) {
        (Some(folder), Ok(_)) => Some(folder.path()),
        _ => None,
    };
    let mut checks = vec![
        cache,
        toolchain(&rust, rustup),
        linker(&rust, trial),
        wasm(Tool::default().target(), rust.is_ok(), rustup, trial),
        cargo_component(),
    ];
    // There is no Envoy for Windows.
    if !cfg!(windows) {
        checks.push(python_for_envoy());
    }
    checks
}

/// Checks the cache directory, and creates a temporary directory in it for this command.
fn cache() -> (Check, Option<TempDir>) {
    let made = cache::folder().and_then(|folder| {
        fs::create_dir_all(&folder)?;
        let within = tempfile::Builder::new()
            .prefix("doctor-")
            .tempdir_in(&folder)
            .map_err(file::without_temporary_name)?;
        fs::write(within.path().join("written"), "here")?;
        Ok((folder, within))
    });
    let (state, folder) = match made {
        Ok((folder, within)) => (State::Found(folder.display().to_string()), Some(within)),
        Err(error) => {
            let place = cache::folder().map_or_else(
                |_| "there is none".to_owned(),
                |folder| format!("cannot write to `{}`", folder.display()),
            );
            let variable = cache::VARIABLE;
            let fix = if cfg!(windows) {
                format!("$env:{variable} = \"$PWD\\target\\tidegate-cache\"")
            } else {
                format!("export {variable}=\"$PWD/target/tidegate-cache\"")
            };
            let state = State::Lacks {
                why: format!("{place}: {error:#}"),
                fix: vec![fix],
            };
            (state, None)
        }
    };
    (check("cache folder", state), folder)
}

/// Checks whether cargo and rustc are installed and recent enough.
fn toolchain(rust: &Result<Rust, String>, rustup: bool) -> Check {
    let state = match rust {
        Ok(rust) if rust.is_at_least(OLDEST) => State::Found(rust.version.clone()),
        Ok(rust) => State::Lacks {
            why: format!("{} is older than {OLDEST}", rust.version),
            fix: newer(rustup),
        },
        Err(why) => State::Lacks {
            why: why.clone(),
            fix: match rustup {
                // A toolchain file specifies a toolchain that is not installed.
                true if why.contains("is not installed") => commands(&["rustup toolchain install"]),
                true => commands(&["rustup default stable"]),
                false => commands(GET_RUSTUP),
            },
        },
    };
    check("Rust", state)
}

/// The commands that update the toolchain of this directory. They depend on why rustup has selected it.
fn newer(rustup: bool) -> Vec<String> {
    if !rustup {
        return commands(GET_RUSTUP);
    }
    let active = output("rustup", ["show", "active-toolchain"]).unwrap_or_default();
    if active.starts_with("stable") {
        commands(&["rustup update stable"])
    } else if active.contains("default") {
        commands(&["rustup update stable", "rustup default stable"])
    } else if std::env::var_os("RUSTUP_TOOLCHAIN").is_some() {
        commands(&["unset RUSTUP_TOOLCHAIN"])
    } else {
        commands(&["rustup update stable", "rustup override set stable"])
    }
}

/// Checks the linker for build scripts and macros. Without Rust, only checks whether a C compiler is installed.
fn linker(rust: &Result<Rust, String>, trial: Option<&Path>) -> Check {
    let tried = match (rust, trial) {
        (Ok(rust), Some(folder)) => {
            builds(folder, &rust.host).map(|()| format!("links for {}", rust.host))
        }
        _ => output("cc", ["--version"])
            .map(|said| said.lines().next().unwrap_or_default().to_owned()),
    };
    let state = tried.map_or_else(
        |why| State::Lacks {
            fix: match trial.is_none() || is_of_toolchain(&why) {
                true => installation().c_compiler(),
                false => Vec::new(),
            },
            why,
        },
        State::Found,
    );
    check("C linker", state)
}

/// Checks the target for which plugins are compiled.
fn wasm(target: &str, has_rust: bool, rustup: bool, trial: Option<&Path>) -> Check {
    let mut fix = if rustup {
        Vec::new()
    } else {
        commands(GET_RUSTUP)
    };
    fix.push(format!("rustup target add {target}"));
    let tried = match (has_rust && target::is_there(target).unwrap_or(false), trial) {
        (true, Some(folder)) => builds(folder, target)
            .map(|()| "compiles and links")
            .inspect_err(|why| {
                if !is_of_toolchain(why) {
                    fix.clear();
                }
            }),
        (true, None) => Ok("is there"),
        (false, _) if has_rust => Err("not installed in the Rust toolchain".to_owned()),
        (false, _) => Err("Rust is not installed".to_owned()),
    };
    let state = match tried {
        Ok(how) => State::Found(how.to_owned()),
        Err(why) => State::Lacks { why, fix },
    };
    check(&format!("target {target}"), state)
}

fn cargo_component() -> Check {
    let state = match output(cargo(), ["component", "--version"]) {
        Ok(version) => State::Found(version),
        Err(_) => State::Lacks {
            why: "only `--tool cargo-component` needs it".to_owned(),
            fix: commands(&["cargo install --locked cargo-component"]),
        },
    };
    optional("cargo component", state)
}

fn python_for_envoy() -> Check {
    let state = match python() {
        Ok(version) => State::Found(version),
        Err(why) => State::Lacks {
            why: format!("required to download Envoy for tests: {why}"),
            fix: installation().python(),
        },
    };
    optional("Python 3", state)
}

/// Whether a build failed because the linker or the target is missing. Installing something does not fix other errors, such as those in
/// cargo's configuration.
fn is_of_toolchain(why: &str) -> bool {
    why.contains("link") || why.contains("can't find crate")
}

/// Builds an empty program with the cargo configuration of this directory.
fn builds(folder: &Path, target: &str) -> Result<(), String> {
    let (manifest, built) = (folder.join("Cargo.toml"), folder.join("target"));
    let text =
        "[package]\nname = \"trial\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n";
    fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("src/main.rs"), "fn main() {}\n"))
        .and_then(|()| fs::write(&manifest, text))
        .map_err(|error| format!("cannot write the test program: {error}"))?;
    let arguments: [&OsStr; 9] = [
        "build".as_ref(),
        "--offline".as_ref(),
        "--quiet".as_ref(),
        "--target".as_ref(),
        target.as_ref(),
        "--manifest-path".as_ref(),
        manifest.as_ref(),
        "--target-dir".as_ref(),
        built.as_ref(),
    ];
    output(cargo(), arguments).map(drop)
}

fn check(name: &str, state: State) -> Check {
    Check {
        name: name.to_owned(),
        required: true,
        state,
    }
}

fn optional(name: &str, state: State) -> Check {
    Check {
        required: false,
        ..check(name, state)
    }
}

fn commands(commands: &[&str]) -> Vec<String> {
    commands.iter().map(|&command| command.to_owned()).collect()
}

// === impl Check ===

impl Check {
    pub fn lacks(&self) -> bool {
        matches!(self.state, State::Lacks { .. })
    }
}
