//! `tidegate new`: creates a plugin that compiles and passes its scenarios.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::language::Language;
use crate::logs::{detail, note};
use crate::plugin::usage;
use crate::template::{Places, Template};
use crate::{carried, file};

/// Create a new plugin, in Rust or another language, with test scenarios
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct New {
    /// The directory to create, with its parent directories. Its last component becomes the name of the plugin
    #[arg(value_name = "PATH")]
    folder: PathBuf,

    /// The language that the plugin is written in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    language: Language,

    /// Template for a plugin in Rust. Default: http
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<Template>,

    /// Use this SDK crate: a path, or a version on crates.io once the SDK is published. Default: a copy in the plugin's `vendor/`
    #[arg(long, value_name = "VERSION|PATH")]
    sdk: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tidegate new greeter
  tidegate new limiter --template rate-limit
  tidegate new plugins/greeter --sdk ../tidegate/guest/sdk
  tidegate new greeter --language javascript

The commands to run next are printed. The README.md in the new directory explains them.";

/// The directory of the copy of the SDK, in the plugin's directory.
const VENDOR: &str = "vendor/tidegate";

/// Names that are reserved by Rust or cargo, or that are the names of crates which a plugin uses.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tidegate-guest",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

// === impl New ===

impl New {
    pub fn execute(self) -> anyhow::Result<()> {
        let greeter = self.language.greeter();
        if greeter.is_some() {
            self.check_options()?;
        }
        let name = name(&self.folder, self.language)?;
        if self.folder.exists() && !is_empty_folder(&self.folder)? {
            bail!(
                "`{}` already exists and is not empty; choose another name",
                self.folder.display()
            );
        }
        let files = match &greeter {
            None => self.rust(&name)?,
            Some(greeter) => greeter.files(&name),
        };

        // Created in a temporary directory and renamed, so that it is complete or does not exist.
        let parent = parent(&self.folder);
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create the directory `{}`", parent.display()))?;
        let made = tempfile::Builder::new()
            .prefix(".tidegate-new-")
            .tempdir_in(parent)
            .map_err(file::without_temporary_name)
            .with_context(|| format!("cannot write to `{}`", parent.display()))?;
        let place = made.path().join(&name);
        for (within, text) in files {
            let path = place.join(&within);
            let folder = self::parent(&path);
            let size = text.len();
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                // The final path, which the user knows.
                .with_context(|| {
                    format!("cannot write `{}`", self.folder.join(&within).display())
                })?;
            detail(|| {
                let path = self.folder.join(&within);
                format!("wrote `{}`: {size} bytes", path.display())
            });
        }
        fs::rename(&place, &self.folder)
            .with_context(|| format!("cannot create the directory `{}`", self.folder.display()))?;
        // Otherwise cargo would find it when it searches for workspace members.
        drop(made);
        if self.language == Language::Rust
            && let Some(root) = workspace_that_takes_it(&self.folder)
        {
            note(&format!(
                "the workspace `{}` includes `{name}`, which is a workspace of its own; add `exclude = [\"{}\"]` to `[workspace]` there",
                root.display(),
                fs::canonicalize(&self.folder)
                    .ok()
                    .as_deref()
                    .and_then(|folder| folder.strip_prefix(self::parent(&root)).ok())
                    .unwrap_or(&self.folder)
                    .display()
            ));
        }
        let (tools, commands) = match greeter {
            None => ("", self.commands()),
            Some(greeter) => (
                " (README.md lists the tools that it needs)",
                greeter.commands(&name),
            ),
        };
        let text = format!(
            "created the plugin `{name}`{tools}; next:\n  cd {folder}\n  {commands}\n",
            folder = self.folder.display(),
            commands = commands.join("\n  "),
        );
        file::write(Path::new("-"), text.as_bytes())
    }

    /// Rejects options that apply only to Rust.
    fn check_options(&self) -> anyhow::Result<()> {
        let given = [
            ("--template", self.template.is_some()),
            ("--sdk", self.sdk.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(usage(format!(
                "{option} has no effect without --language rust"
            ))),
            None => Ok(()),
        }
    }

    /// The files of a package in Rust, with their paths in its directory.
    fn rust(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let sdk = self.sdk(name)?;
        let is_vendored = self.sdk.is_none();
        let own = self.template.unwrap_or_default().files(&Places {
            name,
            sdk: &sdk,
            is_vendored,
        });
        let mut files: Vec<_> = own
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text))
            .collect();
        if is_vendored {
            let vendored = carried::sdk().into_iter();
            files.extend(vendored.map(|(path, text)| (format!("{VENDOR}/{path}"), text)));
        }
        Ok(files)
    }

    /// The commands that test and serve a package in Rust.
    fn commands(&self) -> Vec<String> {
        let config = if self.folder.join("config.json").is_file() {
            " --config @config.json"
        } else {
            ""
        };
        vec!["tidegate test".to_owned(), format!("tidegate dev{config}")]
    }

    /// Where the dependency comes from, in TOML.
    fn sdk(&self, name: &str) -> anyhow::Result<String> {
        let Some(sdk) = &self.sdk else {
            return Ok(format!("path = {:?}", format!("{VENDOR}/{}", carried::SDK)));
        };
        if sdk.starts_with(|char: char| char.is_ascii_digit()) && !Path::new(sdk).exists() {
            note(
                "warning: the SDK is not on crates.io yet: the plugin cannot be built until the SDK is published there",
            );
            return Ok(format!("version = {sdk:?}"));
        }
        let manifest = Path::new(sdk).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| {
            format!(
                "`--sdk {sdk}` is neither a version nor the directory of a crate: cannot read `{}`",
                manifest.display()
            )
        })?;
        if !text
            .lines()
            .any(|line| line.trim() == "name = \"tidegate-guest\"")
        {
            bail!(
                "`{}` is not the manifest of the crate `tidegate-guest`, on which `{name}` would depend",
                manifest.display()
            );
        }
        let folder = fs::canonicalize(sdk).with_context(|| format!("cannot find `{sdk}`"))?;
        let folder = folder.to_str().with_context(|| {
            format!(
                "`{}` is not valid UTF-8 and cannot be written to Cargo.toml",
                folder.display()
            )
        })?;
        Ok(format!("path = {folder:?}"))
    }
}

/// The name of the plugin: the last component of the path.
fn name(folder: &Path, language: Language) -> anyhow::Result<String> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| {
            format!(
                "`{}` is not a valid directory for a new plugin: its last component must be a name",
                folder.display()
            )
        })?;
    let is_letter = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if let Some(char) = name.chars().find(|char| !is_letter(*char)) {
        bail!(
            "`{name}` is not a valid plugin name: it contains {char:?}; use letters, digits, `-` and `_`"
        );
    }
    if !name.starts_with(|char: char| char.is_ascii_alphabetic()) {
        bail!("`{name}` is not a valid plugin name: it must start with a letter");
    }
    if language == Language::Rust
        && TAKEN.contains(&name.replace('_', "-").to_ascii_lowercase().as_str())
    {
        bail!("`{name}` is not a valid plugin name: it is reserved by Rust or cargo");
    }
    Ok(name.to_owned())
}

fn is_empty_folder(path: &Path) -> anyhow::Result<bool> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(_) => return Ok(false),
    };
    Ok(entries.next().is_none())
}

/// The manifest of the surrounding cargo workspace, if cargo rejects it because of the new plugin: a pattern in its `members` may match
/// the plugin's directory. `None` if cargo is not installed.
fn workspace_that_takes_it(plugin: &Path) -> Option<PathBuf> {
    let cargo = |arguments: &[&str]| {
        detail(|| format!("running `cargo {}`", arguments.join(" ")));
        Command::new("cargo")
            .args(arguments)
            .current_dir(parent(plugin))
            .stdin(Stdio::null())
            .output()
            .ok()
    };
    let located = cargo(&["locate-project", "--workspace", "--message-format", "plain"])?;
    if !located.status.success() {
        return None;
    }
    let root = String::from_utf8(located.stdout).ok()?;
    let read = cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ])?;
    let error = String::from_utf8_lossy(&read.stderr);
    // The message contains the path of the member, whatever the error is.
    let named = fs::canonicalize(plugin).ok()?;
    (!read.status.success() && error.contains(named.to_str()?))
        .then(|| PathBuf::from(root.trim_end()))
}

/// The parent directory.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_plugin_name_must_be_valid_for_cargo() {
        let of =
            |text: &str| name(Path::new(text), Language::Rust).map_err(|error| error.to_string());
        assert_eq!(of("plugins/rate-limit_2"), Ok("rate-limit_2".to_owned()));
        for wrong in [
            "a b",
            "1a",
            "-a",
            "fn",
            "Self",
            "proc_macro",
            "std",
            "é",
            "..",
            "",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_languages_allow_rust_reserved_names() {
        let is_valid = |text: &str| name(Path::new(text), Language::Python).is_ok();
        assert!(is_valid("fn") && is_valid("std") && is_valid("a_b-1"));
        assert!(!is_valid("1a") && !is_valid("a.b") && !is_valid(""));
    }
}
