//! A plugin's source: the cargo package that it is, and its build.
//!
//! Cargo does all of it: it says which packages there are and what depends on what, and it builds, with its own messages on
//! stderr. [`target`] sees to the WebAssembly target before that.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use cargo_metadata::{Message, Metadata, MetadataCommand, Package};
use clap::{Args, ValueEnum};

use crate::logs;
use crate::output::{self, Color};

pub mod target;

/// Which package of which workspace is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    /// Path to the plugin's `Cargo.toml`. Default: searched for in this directory and its parents
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,

    /// The package to build, if the workspace contains several plugins
    #[arg(short, long, value_name = "NAME")]
    pub package: Option<String>,
}

/// How a plugin is built.
#[derive(Args, Clone, Debug, Default)]
pub struct How {
    /// Build without optimizations and with debug information
    #[arg(long)]
    pub debug: bool,

    /// Install the WebAssembly target, if it is missing, without prompting
    #[arg(short, long)]
    pub yes: bool,

    /// The tool that builds the component
    #[arg(long, value_name = "TOOL", default_value = "cargo")]
    pub tool: Tool,
}

/// The cargo package of a plugin.
pub struct Project {
    metadata: Metadata,
    package: Package,
}

/// A component that was built.
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Bytes,
}

// === impl Project ===

impl Project {
    /// Finds the package.
    pub fn find(which: &Which) -> anyhow::Result<Self> {
        let mut command = MetadataCommand::new();
        if let Some(path) = &which.manifest_path {
            command.manifest_path(path);
        }
        let metadata = command.exec().map_err(|error| match error {
            cargo_metadata::Error::CargoMetadata { stderr } => {
                let said = stderr.trim().trim_start_matches("error: ").to_owned();
                if said.starts_with("could not find `Cargo.toml`") {
                    anyhow!(
                        "{said}: run this in the directory of a plugin, pass `--manifest-path`, or create a plugin with `tidegate new PATH`"
                    )
                } else {
                    anyhow!(said).context("cargo cannot read the project")
                }
            }
            cargo_metadata::Error::Io(error) => anyhow::Error::new(error).context(
                "cannot run cargo; install it from https://rustup.rs, and see `tidegate doctor`",
            ),
            error => {
                anyhow::Error::new(error).context("cannot parse the output of `cargo metadata`")
            }
        })?;
        let package = package(&metadata, which.package.as_deref())?.clone();
        Ok(Self { metadata, package })
    }

    /// Another package of the same workspace, or this one.
    pub fn sibling(&self, name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            metadata: self.metadata.clone(),
            package: package(&self.metadata, Some(name))?.clone(),
        })
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        &self.package.name
    }

    /// The package's folder.
    pub fn folder(&self) -> &Path {
        self.package
            .manifest_path
            .parent()
            .map_or(Path::new("."), |folder| folder.as_std_path())
    }

    /// Where cargo builds. What happens there is no change of the source.
    pub fn target_folder(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The folders of the packages here whose source is part of the plugin: its own, and those that it depends on by path; then
    /// the workspace's own folder, where manifest and lock file are.
    pub fn sources(&self) -> Sources {
        let by_path: Vec<&Package> = self
            .metadata
            .packages
            .iter()
            .filter(|package| package.source.is_none())
            .collect();
        let mut folders = BTreeSet::new();
        let mut open = vec![&self.package];
        while let Some(package) = open.pop() {
            let Some(folder) = package.manifest_path.parent() else {
                continue;
            };
            if !folders.insert(folder.as_std_path().to_owned()) {
                continue;
            }
            for path in package
                .dependencies
                .iter()
                .filter_map(|it| it.path.as_ref())
            {
                open.extend(
                    by_path
                        .iter()
                        .filter(|package| package.manifest_path.parent() == Some(path)),
                );
            }
        }
        Sources {
            folders,
            workspace: self.metadata.workspace_root.as_std_path().to_owned(),
        }
    }

    /// Builds the component. Cargo's messages go to stderr as they are.
    pub fn build(&self, how: &How) -> anyhow::Result<Built> {
        let tool = how.tool;
        target::ensure(tool.target(), how.yes)?;
        let mut command = tool.command();
        command
            .args(["--message-format", "json-render-diagnostics"])
            .arg("--manifest-path")
            .arg(&self.package.manifest_path)
            .args(["--package", &self.package.name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if !how.debug {
            command.arg("--release");
        }
        if output::color() != Color::Auto {
            command.args(["--color", output::color().name()]);
        }
        if output::is_quiet() {
            command.arg("--quiet");
        }
        logs::detail(&format!("running {command:?}"));
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run `{}`", tool.name()))?;
        let stdout = child
            .stdout
            .take()
            .context("cargo has no standard output")?;
        let mut made = None;
        for message in Message::parse_stream(BufReader::new(stdout)) {
            match message.context("cannot parse the output of `cargo build`")? {
                Message::CompilerArtifact(artifact) if artifact.package_id == self.package.id => {
                    made = artifact
                        .filenames
                        .into_iter()
                        .find(|file| file.extension() == Some("wasm"))
                        .or(made);
                }
                _ => {}
            }
        }
        let status = child.wait().context("cannot wait for cargo")?;
        if !status.success() {
            // It has said why.
            if tool == Tool::CargoComponent && !Tool::has_cargo_component() {
                let message = "cargo-component is not installed; install it with `cargo install --locked cargo-component`";
                return Err(logs::Unavailable(message.to_owned()).into());
            }
            bail!("`{}` failed for `{}`", tool.name(), self.name());
        }
        let path = made.map(PathBuf::from).with_context(|| {
            format!(
                "cargo built no WebAssembly from `{}`; its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`",
                self.name()
            )
        })?;
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Built {
            path,
            bytes: bytes.into(),
        })
    }
}

/// Where a plugin's source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The folders of packages.
    pub folders: BTreeSet<PathBuf>,
    /// The folder of the workspace: of its `Cargo.toml` and `Cargo.lock`.
    pub workspace: PathBuf,
}

/// The package that is named, else that of the current folder, else the only plugin of the workspace.
fn package<'a>(metadata: &'a Metadata, name: Option<&str>) -> anyhow::Result<&'a Package> {
    let members = metadata.workspace_packages();
    if let Some(name) = name {
        return members
            .iter()
            .copied()
            .find(|package| package.name == name)
            .with_context(|| {
                let names: Vec<&str> = members
                    .iter()
                    .map(|package| package.name.as_str())
                    .collect();
                format!(
                    "the workspace has no package `{name}`; it has {}",
                    names.join(", ")
                )
            });
    }
    if let Some(root) = metadata.root_package() {
        return Ok(root);
    }
    let plugins: Vec<&Package> = members
        .into_iter()
        .filter(|package| is_plugin(package))
        .collect();
    match plugins[..] {
        [plugin] => Ok(plugin),
        [] => bail!(
            "no package of the workspace in `{}` is a plugin: none has `crate-type = [\"cdylib\"]`",
            metadata.workspace_root
        ),
        _ => {
            let names: Vec<&str> = plugins
                .iter()
                .map(|package| package.name.as_str())
                .collect();
            bail!(
                "the workspace contains several plugins; choose one with `--package`: {}",
                names.join(", ")
            )
        }
    }
}

fn is_plugin(package: &Package) -> bool {
    let mut kinds = package
        .targets
        .iter()
        .flat_map(|target| &target.crate_types);
    kinds.any(|kind| *kind == cargo_metadata::CrateType::CDyLib)
}

/// What makes components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// Run `cargo build --target wasm32-wasip2`, which produces a component
    #[default]
    Cargo,
    /// Run `cargo component build`, which targets wasm32-wasip1
    CargoComponent,
}

// === impl Tool ===

impl Tool {
    /// Whether cargo component is installed.
    fn has_cargo_component() -> bool {
        let asked = Command::new(cargo())
            .args(["component", "--version"])
            .stdin(Stdio::null())
            .output();
        asked.is_ok_and(|output| output.status.success())
    }

    fn name(self) -> &'static str {
        match self {
            Self::CargoComponent => "cargo component build",
            Self::Cargo => "cargo build",
        }
    }

    /// The target that it builds for.
    pub fn target(self) -> &'static str {
        match self {
            // It makes components of modules for preview 1.
            Self::CargoComponent => "wasm32-wasip1",
            Self::Cargo => "wasm32-wasip2",
        }
    }

    fn command(self) -> Command {
        let mut command = Command::new(cargo());
        match self {
            Self::CargoComponent => command.args(["component", "build"]),
            Self::Cargo => command.args(["build", "--target", self.target()]),
        };
        command
    }
}

/// Cargo, or what `CARGO` names.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
