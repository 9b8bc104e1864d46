//! Building plugins and examples as components: straight with rustc's wasm32-wasip2 target, or with cargo-component.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{setup, shell};

/// The target whose output is a component.
pub const TARGET: &str = "wasm32-wasip2";

/// The target that cargo-component makes components of.
const COMPONENT_TARGET: &str = "wasm32-wasip1";

/// The profile that plugins are shipped with; see the root manifest.
const PROFILE: &str = "plugin";

/// Every plugin of the workspace that is a component: products, examples, and those that tests are made of.
pub fn build_all(workspace: &Workspace) -> Result<()> {
    let names: Vec<&str> = workspace
        .plugins()
        // Modules made with Proxy-Wasm's own SDK are no components.
        .filter(|package| !package.name.starts_with("proxy-wasm-") && package.name != "sdk-twins")
        .map(|package| package.name.as_str())
        .collect();
    for path in build(workspace, &names)? {
        shell::say(&format!("built {}", path.display()));
    }
    Ok(())
}

/// Builds the named packages and gives their components, in the same order.
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

/// Builds the named packages as `cargo component build` does, and gives the command line and their components, in the same
/// order; none where there is no cargo-component.
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

/// What a build left, in the order of the names.
fn made(workspace: &Workspace, target: &str, names: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = workspace.target.join(target).join(PROFILE);
    names
        .iter()
        .map(|name| {
            let path = folder.join(format!("{}.wasm", name.replace('-', "_")));
            if path.is_file() {
                Ok(path)
            } else {
                bail!("building `{name}` left no {}", path.display())
            }
        })
        .collect()
}
