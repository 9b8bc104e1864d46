//! `cargo xtask test`: all set-up, then every test there is.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{deny, install, setup, shell};

/// Members that cannot be linked for this machine: their imports exist in a Proxy-Wasm host only.
pub const WASM_ONLY: [&str; 1] = ["tidegate-bridge"];

/// With `arguments`, `cargo test` alone with these.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::run(workspace)?;
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--workspace"]);
    for name in WASM_ONLY {
        command.args(["--exclude", name]);
    }
    shell::run(command.args(arguments))?;
    if !arguments.is_empty() {
        return Ok(());
    }
    deny::run(workspace)?;
    install::check(workspace)
}
