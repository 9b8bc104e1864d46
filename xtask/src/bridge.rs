//! `cargo xtask bridge`: builds the bridge's module, which is checked in with the adapter's sources.
//!
//! The build recipe is part of the adapter, whose test also uses it.

use std::fs;

use anyhow::{Context, Result, bail};

use xtask::shell;
use xtask::workspace::Workspace;

#[path = "../../adapter/bridge/build_recipe.rs"]
mod build_recipe;

/// Builds the module. With `check`, only compares it with the one that is checked in.
pub fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let folder = workspace.root.join("adapter/bridge");
    let output = workspace.target.join("bridge");
    fs::create_dir_all(&output)
        .with_context(|| format!("failed to create {}", output.display()))?;
    shell::run(&mut build_recipe::command(&folder, &output))?;
    let built =
        fs::read(output.join(build_recipe::ARTEFACT)).context("the build created no module")?;
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
            "{} differs from the build of its source; run `cargo xtask bridge`",
            path.display()
        );
    }
    fs::write(&path, &built).with_context(|| format!("failed to write {}", path.display()))?;
    shell::say(&format!("wrote {}, {} bytes", path.display(), built.len()));
    Ok(())
}
