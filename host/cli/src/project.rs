//! The cargo package of a plugin, and its build.
//!
//! Cargo determines the packages and their dependencies, and builds them. Its messages go to stderr. [`target`] ensures first that the
//! WebAssembly target is installed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use cargo_metadata::{Message, Metadata, MetadataCommand, Package};
use clap::{Args, ValueEnum};

use crate::logs;
use crate::output::{self, Color};
use crate::plugin::description;

pub mod target;

/// The options that select a package.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    /// Path to the plugin's `Cargo.toml`. Default: searched for in this directory and its parents
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,

    /// The package to build, if the workspace contains several plugins
    #[arg(short, long, value_name = "NAME")]
    pub package: Option<String>,
}

/// The options for building a plugin.
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
    /// Its contents.
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
        let begun = Instant::now();
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
        logs::detail(|| {
            format!(
                "read the package `{}` {} from `{}` with `cargo metadata` in {} ms",
                package.name.as_str(),
                package.version,
                package.manifest_path,
                begun.elapsed().as_millis()
            )
        });
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

    /// The target directory. Changes there are not changes of the source.
    pub fn target_folder(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The directories of the plugin's package and of its path dependencies, and the directory of the workspace, which contains the
    /// manifest and the lock file.
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

    /// Builds the component. Cargo's messages go to stderr.
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
        for program in [target::rustc(), cargo()] {
            logs::detail(|| format!("using {}", version(&program)));
        }
        logs::detail(|| format!("running {command:?}"));
        let begun = Instant::now();
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
            // Cargo has printed the reason.
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
        logs::detail(|| {
            format!(
                "built `{}` in {} ms: {}",
                path.display(),
                begun.elapsed().as_millis(),
                description(&bytes)
            )
        });
        Ok(Built {
            path,
            bytes: bytes.into(),
        })
    }
}

/// The directories that contain the source of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The folders of packages.
    pub folders: BTreeSet<PathBuf>,
    /// The directory of the workspace, with its `Cargo.toml` and `Cargo.lock`.
    pub workspace: PathBuf,
}

/// The package with this name. Without a name, the package in the current directory, or the only plugin of the workspace.
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

/// The tool that builds components.
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
            // It converts modules for WASI Preview 1 into components.
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

/// Cargo: the program that `CARGO` specifies, or `cargo`.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The version that a program prints, with the program itself.
fn version(program: &OsStr) -> String {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let version = output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    format!("`{}`: {version}", program.display())
}
