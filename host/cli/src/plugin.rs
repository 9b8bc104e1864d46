//! The one syntax for plugins: `FILE[=CONFIG]` or `oci://REFERENCE[=CONFIG]`.
//!
//! CONFIG is the configuration itself, or `@FILE`. It may be any bytes and reaches the plugin unchanged, byte for byte. Where the plugin
//! contains a JSON Schema, the configuration is validated against it. File names may contain `=`: the part before the first `=` that is
//! the name of a file is the plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::error::ErrorKind;
use tidegate_adapter::inspect;
use tidegate_deploy::configuration::{self, Configuration};
use tidegate_host::EngineKind;
use tidegate_oci::Reference;

use crate::place::{Fetched, Place};

/// The syntax of a plugin, as help texts show it.
pub const SYNTAX: &str = "PLUGIN[=CONFIG]";

/// A plugin as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginArg {
    place: Place,
    configuration: Option<String>,
}

/// A plugin, read.
pub struct Plugin {
    /// The file's name without its ending, or the last segment of the repository's name; other plugins' names differ.
    pub name: String,
    /// Where it was read from.
    pub place: Place,
    /// The image that it was pulled from, with the digest of its manifest.
    pub image: Option<Reference>,
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
        let (place, configuration) = split(text);
        if place.is_empty() {
            return Err(format!(
                "the plugin before `=` is missing: expected {SYNTAX}"
            ));
        }
        Ok(Self {
            place: place.parse()?,
            configuration: configuration.map(str::to_owned),
        })
    }
}

/// The plugin's place and, if there is one, its configuration.
fn split(text: &str) -> (&str, Option<&str>) {
    let is_file = |text: &str| Path::new(text).is_file();
    if is_file(text) {
        return (text, None);
    }
    let mut splits = text
        .match_indices('=')
        .map(|(at, _)| (&text[..at], &text[at + 1..]));
    let split = splits
        .find(|(path, _)| is_file(path))
        .or_else(|| text.split_once('='));
    split.map_or((text, None), |(place, configuration)| {
        (place, Some(configuration))
    })
}

/// Reads plugins and their configurations. There is a name for each, or none at all.
pub fn read(args: &[PluginArg], names: &[String]) -> anyhow::Result<Vec<Plugin>> {
    if !names.is_empty() && names.len() != args.len() {
        return Err(usage(format!(
            "expected one --name for each plugin, or none (--name: {}, plugins: {})",
            names.len(),
            args.len()
        )));
    }
    stdin_once(args.iter().filter(|arg| arg.place.is_stdin()).count())?;
    let mut plugins: Vec<Plugin> = Vec::with_capacity(args.len());
    for (index, arg) in args.iter().enumerate() {
        let place = &arg.place;
        let Fetched { bytes, image } = place.fetch()?;
        let Some(kind) = EngineKind::detect(&bytes) else {
            bail!(
                "`{place}` is not a WebAssembly binary: expected a component or a Proxy-Wasm module"
            );
        };
        let (configuration, configuration_file) = match &arg.configuration {
            None => (Vec::new(), None),
            Some(text) => configured(text, &place.to_string())?,
        };
        plugins.push(Plugin {
            name: match names.get(index) {
                None => unused_name(&place.stem(), &plugins),
                Some(name) if plugins.iter().any(|it| it.name == *name) => {
                    return Err(usage(format!("--name {name} is given twice")));
                }
                Some(name) => name.clone(),
            },
            place: place.clone(),
            image,
            bytes: bytes.into(),
            kind,
            configuration,
            configuration_file,
        });
    }
    Ok(plugins)
}

/// Arguments that do not go together.
pub fn usage(message: String) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, message + "\n").into()
}

/// Fails if several inputs are to be read from stdin, because all but the first would be empty.
pub fn stdin_once(inputs: usize) -> anyhow::Result<()> {
    match inputs {
        0 | 1 => Ok(()),
        _ => Err(usage(
            "stdin can be used only once: pass the other inputs as files".into(),
        )),
    }
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
        "`{text}` is a file, but it was passed as the configuration itself: to read the file, write `{plugin}=@{text}`"
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

/// Those of a plugin's hostcalls that Tidegate's proxy links and does not implement: it starts, and may wait forever.
pub fn unsupported(hostcalls: &[String]) -> Vec<&str> {
    let is_unsupported = |name: &&str| tidegate_host::UNSUPPORTED_HOSTCALLS.contains(name);
    let names = hostcalls.iter().map(String::as_str);
    names.filter(is_unsupported).collect()
}

/// Whether a module can send HTTP calls. They need clusters.
pub fn sends_calls(hostcalls: &[String]) -> bool {
    hostcalls.iter().any(|name| name == "proxy_http_call")
}

/// A name for the plugin that no other has: proxies and logs tell plugins apart by it.
fn unused_name(stem: &str, others: &[Plugin]) -> String {
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

    #[test]
    fn argument_is_split_at_the_first_equals_sign() {
        assert_eq!(split("none.wasm"), ("none.wasm", None));
        assert_eq!(
            split("none.wasm={\"a\":\"b=c\"}"),
            ("none.wasm", Some("{\"a\":\"b=c\"}"))
        );
        let image = "oci://127.0.0.1:5000/greeter:1.0.0";
        assert_eq!(split(&format!("{image}=@a=b")), (image, Some("@a=b")));
    }

    #[test]
    fn existing_file_name_may_contain_equals_signs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a=b.wasm");
        fs::write(&path, b"").expect("a file");
        let path = path.display().to_string();
        assert_eq!(split(&path), (&*path, None));
        assert_eq!(
            split(&format!("{path}=c=d.json")),
            (&*path, Some("c=d.json"))
        );
    }

    #[test]
    fn argument_without_plugin_is_rejected() {
        assert!("".parse::<PluginArg>().is_err());
        assert!("={}".parse::<PluginArg>().is_err());
    }
}
