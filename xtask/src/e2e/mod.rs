//! `cargo xtask e2e`: Tidegate against the real thing, which is more than `cargo test` can ask for on every machine.

use anyhow::{Result, bail};

use crate::workspace::Workspace;

mod istio;
mod mesh;

/// What there is to run.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    match arguments {
        [what] if what == "istio" => istio::run(workspace),
        [what, rest @ ..] if what == "mesh" => mesh::run(workspace, rest),
        _ => bail!("e2e takes `istio` or `mesh`, got `{}`", arguments.join(" ")),
    }
}
