//! Builds plugins and examples as components: with rustc's target wasm32-wasip2, or with cargo-component.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{setup, shell};

/// The target whose output is a component.
pub const TARGET: &str = "wasm32-wasip2";

/// The target from which cargo-component creates components.
const COMPONENT_TARGET: &str = "wasm32-wasip1";

/// The profile with which plugins are shipped; see the root manifest.
const PROFILE: &str = "plugin";

/// All plugins of the workspace that are components: complete plugins, examples, and test plugins.
pub fn build_all(workspace: &Workspace) -> Result<()> {
    let names: Vec<&str> = workspace
        .plugins()
        // Modules built with a Proxy-Wasm SDK are not components.
        .filter(|package| !package.name.starts_with("proxy-wasm-") && package.name != "sdk-twins")
        .map(|package| package.name.as_str())
        .collect();
    for path in build(workspace, &names)? {
        shell::say(&format!("built {}", path.display()));
    }
    Ok(())
}

/// Builds packages, and returns their components in the same order.
pub fn build(workspace: &Workspace, names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--locked",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
    ]);
    for name in names {
        command.args(["--package", name]);
    }
    shell::run(&mut command)?;
    made(workspace, TARGET, names)
}

/// Builds packages with `cargo component build`. Returns the command line, and the components in the same order; `None` if cargo-component
/// is not installed.
pub fn build_with_cargo_component(
    workspace: &Workspace,
    names: &[&str],
) -> Result<Option<(String, Vec<PathBuf>)>> {
    let Some(mut command) = setup::cargo_with_component(workspace) else {
        return Ok(None);
    };
    command.args(["build", "--profile", PROFILE]);
    for name in names {
        command.args(["--package", name]);
    }
    shell::run(&mut command)?;
    let line = shell::show(&command);
    Ok(Some((line, made(workspace, COMPONENT_TARGET, names)?)))
}

/// Returns the paths of the built files, in the order of the names.
fn made(workspace: &Workspace, target: &str, names: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = workspace.target.join(target).join(PROFILE);
    names
        .iter()
        .map(|name| {
            let path = folder.join(format!("{}.wasm", name.replace('-', "_")));
            if path.is_file() {
                Ok(path)
            } else {
                bail!("building `{name}` did not create {}", path.display())
            }
        })
        .collect()
}
