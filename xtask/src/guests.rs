//! Building plugins and examples as components, straight with rustc's wasm32-wasip2 target.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::shell;
use crate::workspace::Workspace;

/// The target whose output is a component.
pub const TARGET: &str = "wasm32-wasip2";

/// The profile that plugins are shipped with; see the root manifest.
const PROFILE: &str = "plugin";

/// Every plugin of the workspace that is a component: products, examples, and those that tests are made of.
pub fn build_all(workspace: &Workspace) -> Result<()> {
    let names: Vec<&str> = workspace
        .plugins()
        // Modules made with Proxy-Wasm's own SDK are no components.
        .filter(|package| !package.name.starts_with("proxy-wasm-"))
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
    names
        .iter()
        .map(|name| {
            let folder = workspace.target.join(TARGET).join(PROFILE);
            let path = folder.join(format!("{}.wasm", name.replace('-', "_")));
            if path.is_file() {
                Ok(path)
            } else {
                bail!("building `{name}` left no {}", path.display())
            }
        })
        .collect()
}
