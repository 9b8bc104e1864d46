//! Reads scenario files. An error says where in the file it is, in terms of YAML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::scenario::{FailurePolicy, Plugin, Scenario, Step};
use crate::source::{Location, Position, Source};
use crate::verdict::Place;

impl Scenario {
    /// Reads a scenario file in `folder`. `own` is the plugin under test, which a scenario without `plugins` uses.
    pub fn read(folder: &Path, file: &Path, own: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        let source = Source::parse(&text);
        let source = source.as_ref();
        let mut scenario: Scenario =
            serde_saphyr::from_str(&text).map_err(|error| located(&error, file, source))?;
        let below = file.strip_prefix(folder).unwrap_or(file).with_extension("");
        scenario.name = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        scenario.file = file.to_owned();
        let plugins = Place::default().key("plugins");
        let has_plugins = source.is_some_and(|source| source.get(&plugins).is_some());
        let is_implied = own.is_some() && scenario.plugins.is_empty() && !has_plugins;
        if let (Some(own), true) = (own, is_implied) {
            scenario.plugins.push(Plugin {
                guest: own.to_owned(),
                name: None,
                configuration: scenario.configuration.take(),
                configuration_file: scenario.configuration_file.take(),
                file_content: Vec::new(),
                vm_configuration: None,
                failure_policy: FailurePolicy::default(),
                environment: BTreeMap::new(),
            });
        }
        let below = file.parent().unwrap_or(Path::new(""));
        let checked = scenario.check();
        checked
            .and_then(|()| scenario.read_configurations(below, is_implied))
            .map_err(|(place, wrong)| {
                let position = source.map(|source| source.position(&place));
                anyhow!("{}: {wrong}", location(file, position))
            })?;
        Ok(scenario)
    }

    /// Reads the configuration files, whose paths are relative to `folder`. `is_implied` is true if the scenario has no `plugins`, and
    /// `configuration-file` is a top-level key.
    fn read_configurations(
        &mut self,
        folder: &Path,
        is_implied: bool,
    ) -> Result<(), (Place, String)> {
        for (number, plugin) in self.plugins.iter_mut().enumerate() {
            let place = match is_implied {
                true => Place::default().key("configuration-file"),
                false => Place::default().key("plugins").item(number),
            };
            plugin.read_configuration(folder, place)?;
        }
        for (number, step) in self.steps.iter_mut().enumerate() {
            let Step::Reload(reload) = step else {
                continue;
            };
            let place = Place::default().key("steps").item(number);
            let place = place.key("reload").key("plugins");
            for (number, plugin) in reload.plugins.iter_mut().flatten().enumerate() {
                plugin.read_configuration(folder, place.clone().item(number))?;
            }
        }
        Ok(())
    }

    /// Parses a changed text of this scenario. The plugins are kept.
    pub fn reread(&self, text: &str) -> Result<Self> {
        let scenario = Self {
            name: self.name.clone(),
            file: self.file.clone(),
            plugins: self.plugins.clone(),
            configuration: None,
            configuration_file: None,
            ..serde_saphyr::from_str(text)?
        };
        Ok(scenario)
    }
}

fn location(file: &Path, position: Option<Position>) -> Location {
    Location::new(file.display().to_string(), position)
}

/// Formats a parse error in one line that begins with its location. If a value does not have the type of its key, the parser does not
/// mention the key; it is found in `source`.
fn located(error: &serde_saphyr::Error, file: &Path, source: Option<&Source>) -> anyhow::Error {
    // The parser's message also contains the location and the line; both are removed.
    let message = error.without_snippet().to_string();
    let position = error.location().and_then(|at| {
        Some(Position {
            line: usize::try_from(at.line()).ok()?,
            column: usize::try_from(at.column()).ok()?,
        })
    });
    let Some(at) = position else {
        return anyhow!("{}: {message}", location(file, None));
    };
    let said = format!(" at line {}, column {}", at.line, at.column);
    let mut message = expected(message.strip_suffix(&said).unwrap_or(&message));
    if message.starts_with("expected ")
        && let Some(key) = source.and_then(|source| source.key_at(at))
    {
        message.insert_str(0, &format!("`{key}`: "));
    }
    anyhow!("{}: {message}", location(file, position))
}

/// Returns the parser's message in terms of YAML, without names of Rust types.
fn expected(message: &str) -> String {
    let Some(ty) = message.strip_prefix("invalid ") else {
        return message
            .replace("expected string scalar", "expected a string")
            .replace("expected sequence start", "expected a list")
            .replace("expected mapping start", "expected a mapping")
            .replace(
                "expected end of mapping after enum variant value",
                "expected a mapping with a single key",
            )
            .replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    };
    match ty {
        "bool" => "expected `true` or `false`".to_owned(),
        "u16" => format!("expected an integer from 0 to {}", u16::MAX),
        "u64" => format!("expected an integer from 0 to {}", u64::MAX),
        "u8" | "u32" | "usize" => "expected a non-negative integer".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "expected an integer".to_owned(),
        "f32" | "f64" => "expected a number".to_owned(),
        _ if ty.ends_with("expected a tuple of size 2") => {
            "expected a list with a name and a value".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// Reads all scenarios in a folder and its subfolders, in the order of their names.
pub fn walk(folder: &Path, own: Option<&str>) -> Result<Vec<Scenario>> {
    files(folder)?
        .iter()
        .map(|file| Scenario::read(folder, file, own))
        .collect()
}

/// Returns the paths of all scenario files in a folder and its subfolders, in order.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry =
            entry.with_context(|| format!("cannot read the directory `{}`", folder.display()))?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(entry.into_path());
        }
    }
    files.sort();
    Ok(files)
}
