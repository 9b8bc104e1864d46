//! `cargo xtask bridge`: builds the bridge's artefact, which is checked in among the adapter's sources.
//!
//! How it is built is the adapter's business: the recipe lies there and its test uses the same.

use std::fs;

use anyhow::{Context, Result, bail};

use xtask::shell;
use xtask::workspace::Workspace;

#[path = "../../adapter/bridge/build_recipe.rs"]
mod build_recipe;

/// Builds it; with `check`, only compares it with what is checked in.
pub fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let folder = workspace.root.join("adapter/bridge");
    let output = workspace.target.join("bridge");
    fs::create_dir_all(&output).with_context(|| format!("failed to make {}", output.display()))?;
    shell::run(&mut build_recipe::command(&folder, &output))?;
    let built =
        fs::read(output.join(build_recipe::ARTEFACT)).context("the recipe made no artefact")?;
    let path = workspace
        .root
        .join("adapter/src")
        .join(build_recipe::ARTEFACT);
    if fs::read(&path).is_ok_and(|present| present == built) {
        shell::say(&format!("{} is up to date", path.display()));
        return Ok(());
    }
    if check {
        bail!(
            "{} is not what its source gives; run `cargo xtask bridge`",
            path.display()
        );
    }
    fs::write(&path, &built).with_context(|| format!("failed to write {}", path.display()))?;
    shell::say(&format!("wrote {}, {} bytes", path.display(), built.len()));
    Ok(())
}
