//! Tests that need a program which not every machine has.
//!
//! They are `#[ignore = "needs PROGRAM"]`, so that `cargo test` reports them as ignored, and their names end in
//! `needs_PROGRAM`. Here those are run whose program is there, and the others are named.

use std::env;

use anyhow::Result;

use crate::shell;
use crate::workspace::Workspace;

/// Programs, and those that have to be there for a test of this ending.
const TOOLS: &[(&str, &[&str])] = &[
    ("bash", &["bash"]),
    ("chromium", &["chromium"]),
    ("docker_registry", &["docker-registry"]),
    ("envoy", &["python3"]),
    ("fish", &["fish"]),
    ("groff", &["groff"]),
    ("openssl", &["openssl", "docker-registry"]),
    ("zsh", &["zsh"]),
];

/// The packages that have such tests.
const PACKAGES: [&str; 2] = ["tidegate", "tidegate-oci"];

/// Runs the tests whose programs are on PATH, and says which are skipped.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut filters = Vec::new();
    for (name, programs) in TOOLS {
        match programs.iter().find(|program| !is_on_path(program)) {
            None => filters.push(format!("needs_{name}")),
            Some(missing) => {
                println!(
                    "SKIPPED: tests whose names end in needs_{name}: there is no `{missing}` on PATH"
                );
            }
        }
    }
    if filters.is_empty() {
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--tests"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command.args(["--", "--ignored"]).args(filters);
    shell::run(&mut command)
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&path).any(|folder| folder.join(&file).is_file())
}
