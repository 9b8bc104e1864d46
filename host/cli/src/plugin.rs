//! The one syntax for plugins: `PLUGIN.wasm[=CONFIG]`.
//!
//! CONFIG is the configuration itself, or `@FILE`. It may be any bytes and reaches the plugin unchanged, byte for byte. Where the plugin
//! contains a JSON Schema, the configuration is validated against it. File names may contain `=`: the part before the first `=` that is
//! the name of a file is the plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tidegate_adapter::inspect;
use tidegate_deploy::configuration::{self, Configuration};
use tidegate_host::EngineKind;

use crate::file;

/// A plugin as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginArg(String);

/// A plugin, read.
pub struct Plugin {
    /// The file's name without its ending; other plugins' names differ.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Bytes,
    /// What they are.
    pub kind: EngineKind,
    /// The configuration, empty if there is none.
    pub configuration: Vec<u8>,
    /// The file that the configuration was read from, if it was.
    pub configuration_file: Option<PathBuf>,
}

// === impl PluginArg ===

impl FromStr for PluginArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split('=').next() {
            None | Some("") => Err("expected PLUGIN.wasm or PLUGIN.wasm=CONFIG".into()),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }
}

impl PluginArg {
    /// The plugin's file and, if there is one, its configuration.
    fn split(&self) -> (&Path, Option<&str>) {
        let is_file = |text: &str| Path::new(text).is_file();
        if is_file(&self.0) {
            return (Path::new(&self.0), None);
        }
        let mut splits = self
            .0
            .match_indices('=')
            .map(|(at, _)| (&self.0[..at], &self.0[at + 1..]));
        let split = splits
            .find(|(path, _)| is_file(path))
            .or_else(|| self.0.split_once('='));
        match split {
            Some((path, configuration)) => (Path::new(path), Some(configuration)),
            None => (Path::new(&self.0), None),
        }
    }
}

/// Reads plugins and their configurations.
pub fn read(args: &[PluginArg]) -> anyhow::Result<Vec<Plugin>> {
    let mut plugins: Vec<Plugin> = Vec::with_capacity(args.len());
    for arg in args {
        let (path, configuration) = arg.split();
        let bytes = file::read(path)?;
        let Some(kind) = EngineKind::detect(&bytes) else {
            bail!(
                "`{}` is not a WebAssembly binary: expected a component or a Proxy-Wasm module",
                path.display()
            );
        };
        let (configuration, configuration_file) = match configuration {
            None => (Vec::new(), None),
            Some(text) => configured(text, &path.display().to_string())?,
        };
        let name = unused_name(path, &plugins);
        plugins.push(Plugin {
            name,
            path: path.to_owned(),
            bytes: bytes.into(),
            kind,
            configuration,
            configuration_file,
        });
    }
    Ok(plugins)
}

/// A plugin's configuration, and the file that it is in if it is in one.
pub fn configured(text: &str, plugin: &str) -> anyhow::Result<(Vec<u8>, Option<PathBuf>)> {
    if let Some(file) = file_of(text) {
        let bytes = fs::read(file).with_context(|| {
            format!("cannot read the configuration of `{plugin}` from `{file}`")
        })?;
        return Ok((bytes, Some(PathBuf::from(file))));
    }
    // That was the syntax before 0.1.0, and no plugin is configured by the name of a file.
    ensure!(
        !Path::new(text).is_file(),
        "the configuration of `{plugin}`, `{text}`, is the name of a file: write `{plugin}=@{text}` to use its contents"
    );
    Ok((text.as_bytes().to_vec(), None))
}

/// The file that a configuration is read from, if it is `@FILE`.
pub fn file_of(configuration: &str) -> Option<&str> {
    configuration.strip_prefix('@')
}

/// Validates a configuration against the schema of a component or module, if it has one.
pub fn validate(module: &[u8], configuration: &[u8]) -> anyhow::Result<()> {
    // What cannot be inspected is somebody else's matter: it may run all the same.
    let Some(schema) = inspect(module).ok().and_then(|it| it.schema) else {
        return Ok(());
    };
    let given = match configuration {
        [] => None,
        bytes => Some(Configuration::new(bytes).json()?),
    };
    configuration::check(given.as_ref(), &schema)?;
    Ok(())
}

/// A name for the plugin that no other has: proxies and logs tell plugins apart by it.
fn unused_name(path: &Path, others: &[Plugin]) -> String {
    let stem = path
        .file_stem()
        .map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
    let mut name = stem.to_string();
    let mut number = 1;
    while others.iter().any(|other| other.name == name) {
        number += 1;
        name = format!("{stem}-{number}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, Option<String>) {
        let arg: PluginArg = text.parse().expect("a plugin");
        let (path, configuration) = arg.split();
        (path.display().to_string(), configuration.map(str::to_owned))
    }

    #[test]
    fn plugin_without_file_is_split_at_the_first_sign() {
        assert_eq!(split("none.wasm"), ("none.wasm".into(), None));
        assert_eq!(
            split("none.wasm={\"a\":\"b=c\"}"),
            ("none.wasm".into(), Some("{\"a\":\"b=c\"}".into()))
        );
    }

    #[test]
    fn plugin_that_is_a_file_may_have_signs_in_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a=b.wasm");
        fs::write(&path, b"").expect("a file");
        let path = path.display().to_string();
        assert_eq!(split(&path), (path.clone(), None));
        assert_eq!(
            split(&format!("{path}=c=d.json")),
            (path, Some("c=d.json".into()))
        );
    }

    #[test]
    fn plugin_without_name_is_refused() {
        assert!("".parse::<PluginArg>().is_err());
        assert!("={}".parse::<PluginArg>().is_err());
    }
}
