//! The locations of the workspace, its target directory, its packages and its toolchain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell;

/// The only member that is built only for `wasm32-unknown-unknown`.
pub const BRIDGE: &str = "tidegate-bridge";

/// The directories of plugins, the SDK and its macros.
const PLUGIN_FOLDERS: [&str; 3] = ["guest", "tests/guests", "benches/guests"];

/// Members that are built by one cargo command for this machine.
///
/// Cargo builds a dependency with the features that any member of the command requires. The macros of plugins require
/// features of wasmtime's dependencies that the command-line tool does not. With groups, the tests build wasmtime only once, with the same
/// features as the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The SDK, its macros, and the plugins with unit tests of their logic.
    Plugins,
    /// The command-line tool, the crates that it consists of, their tests and the benches.
    Tool,
}

/// The workspace of this binary.
pub struct Workspace {
    /// The root directory.
    pub root: PathBuf,
    /// The target directory: `target/` unless configured otherwise.
    pub target: PathBuf,
    /// The workspace's members.
    pub packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Deserialize)]
pub struct Package {
    /// The name that `-p` accepts.
    pub name: String,
    targets: Vec<Target>,
    manifest_path: PathBuf,
    /// The registries to which it can be published: any if `None`, none if empty.
    publish: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
    /// Whether `cargo test` builds it.
    test: bool,
}

impl Workspace {
    /// Finds the workspace with `cargo metadata`.
    pub fn find() -> Result<Workspace> {
        #[derive(Deserialize)]
        struct Metadata {
            workspace_root: PathBuf,
            target_directory: PathBuf,
            packages: Vec<Package>,
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let text = shell::read(
            Command::new(cargo_path())
                .args([
                    "metadata",
                    "--no-deps",
                    "--format-version",
                    "1",
                    "--manifest-path",
                ])
                .arg(manifest),
        )?;
        let metadata: Metadata = serde_json::from_str(&text)
            .context("failed to parse the output of `cargo metadata`")?;
        Ok(Workspace {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            packages: metadata.packages,
        })
    }

    /// Returns a cargo command with the pinned toolchain, in the root directory.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(cargo_path());
        command.current_dir(&self.root);
        // Tests store what they compile and download in the target directory, not in the user's cache.
        command.env("TIDEGATE_CACHE", self.target.join("tmp/tidegate-cache"));
        // Variables that cargo sets for this package. If they changed, build scripts of dependencies, such as that of ring, would
        // run again after another program of this workspace was built.
        for (name, _) in env::vars_os() {
            if is_about_a_package(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Returns the members that are built only for wasm: cdylibs whose imports cannot be linked for this machine. Their manifests contain
    /// `test = false`. Plugins with unit tests of their logic are not among them.
    pub fn wasm_only(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|it| it.is_wasm_only())
    }

    /// Returns the members of a group.
    pub fn group(&self, group: Group) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(move |package| !package.is_wasm_only() && package.group(&self.root) == group)
    }

    /// Applies a cargo command to the members of a group.
    pub fn select(&self, group: Group, command: &mut Command) {
        for package in self.group(group) {
            command.args(["--package", &package.name]);
        }
    }

    /// Returns the members that are plugins. Some are also built for this machine, to test their logic.
    pub fn plugins(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| {
            package.name != BRIDGE
                && package
                    .targets
                    .iter()
                    .any(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
        })
    }

    /// Returns the toolchain in `rust-toolchain.toml`.
    pub fn toolchain(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct File {
            toolchain: Toolchain,
        }
        #[derive(Deserialize)]
        struct Toolchain {
            channel: String,
        }
        let path = self.root.join("rust-toolchain.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let file: File =
            toml::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(file.toolchain.channel)
    }

    /// Builds the command-line tool with the profile `dev`; [`Self::dev_binary`] is its path.
    pub fn build_tool(&self) -> Result<()> {
        let mut cargo = self.cargo();
        shell::run(cargo.args(["build", "--locked", "--package", "tidegate"]))
    }

    /// Returns the path of a binary in the dev build of this workspace.
    pub fn dev_binary(&self, name: &str) -> PathBuf {
        self.target
            .join("debug")
            .join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

/// Returns whether cargo sets this variable for the programs that it runs.
fn is_about_a_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Returns the path of the cargo that started this process. It belongs to the same toolchain in any directory.
fn cargo_path() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

// === impl Group ===

impl Group {
    /// Every group.
    pub const ALL: [Self; 2] = [Self::Plugins, Self::Tool];
}

// === impl Package ===

impl Package {
    fn is_wasm_only(&self) -> bool {
        self.targets
            .iter()
            .all(|target| target.crate_types == ["cdylib"] && !target.test)
    }

    fn group(&self, root: &Path) -> Group {
        let is_below = |folder: &str| self.manifest_path.starts_with(root.join(folder));
        if PLUGIN_FOLDERS.into_iter().any(is_below) {
            Group::Plugins
        } else {
            Group::Tool
        }
    }

    /// Returns whether the package can be published.
    pub fn is_published(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_native_member_is_in_one_group() {
        let workspace = Workspace::find().expect("failed to find the workspace");
        let names = |group| -> Vec<&str> {
            workspace
                .group(group)
                .map(|package| package.name.as_str())
                .collect()
        };
        let wasm_only = workspace.wasm_only().map(|package| package.name.as_str());
        let mut grouped: Vec<&str> = Group::ALL.into_iter().flat_map(names).collect();
        grouped.extend(wasm_only);
        grouped.sort_unstable();
        let mut all: Vec<&str> = workspace.packages.iter().map(|it| &*it.name).collect();
        all.sort_unstable();
        assert_eq!(grouped, all);
        assert!(names(Group::Plugins).contains(&"tidegate-guest-macros"));
        assert!(names(Group::Tool).contains(&"tidegate-host"));
        assert!(names(Group::Tool).contains(&"tidegate-benches"));
    }

    #[test]
    fn plugins_with_tests_are_not_wasm_only() {
        let workspace = Workspace::find().expect("failed to find the workspace");
        let wasm_only: Vec<&str> = workspace
            .wasm_only()
            .map(|package| package.name.as_str())
            .collect();
        for tested in ["rate-limit", "headers", "istio-tutorial", "tidegate-guest"] {
            assert!(!wasm_only.contains(&tested), "{tested}: {wasm_only:?}");
        }
        for untested in [BRIDGE, "bare", "hello", "probe", "std-guest", "visitors"] {
            assert!(wasm_only.contains(&untested), "{untested}: {wasm_only:?}");
        }
    }
}
