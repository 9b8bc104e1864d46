//! The syntax for plugins: `FILE[=CONFIG]` or `oci://REFERENCE[=CONFIG]`.
//!
//! CONFIG is the configuration itself, or `@FILE`. It can be arbitrary bytes, and is passed to the plugin unchanged. If the plugin
//! contains a JSON Schema, the configuration is validated against it. File names can contain `=`: the shortest prefix before a `=` that
//! is the name of an existing file is the plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::error::ErrorKind;
use tidegate_adapter::{AdaptError, Options};
use tidegate_deploy::configuration::{self, Configuration};
use tidegate_host::EngineKind;
use tidegate_oci::{Digest, Reference};

use crate::logs;
use crate::place::{Fetched, Place};

/// The syntax of a plugin, as help texts show it.
pub const SYNTAX: &str = "PLUGIN[=CONFIG]";

/// A plugin argument on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginArg {
    place: Place,
    configuration: Option<String>,
}

/// A plugin that has been read.
pub struct Plugin {
    /// The name of the file without its extension, or the last segment of the repository name. It is unique among the plugins.
    pub name: String,
    /// The file or image.
    pub place: Place,
    /// The image that it was pulled from, with the digest of its manifest.
    pub image: Option<Reference>,
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it is a component or a module.
    pub kind: EngineKind,
    /// The configuration, empty if there is none.
    pub configuration: Vec<u8>,
    /// The file that the configuration was read from, if any.
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

/// Splits an argument into the plugin and the configuration.
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

/// Reads plugins and their configurations. `names` contains a name for each plugin, or none.
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
        let plugin = Plugin {
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
        };
        logs::detail(|| {
            format!(
                "plugin `{}`: {place}, {}, configuration of {} bytes",
                plugin.name,
                description(&plugin.bytes),
                plugin.configuration.len()
            )
        });
        plugins.push(plugin);
    }
    Ok(plugins)
}

/// Adapts a component to a Proxy-Wasm module.
pub fn adapt(component: &[u8], options: &Options) -> Result<Vec<u8>, AdaptError> {
    let begun = Instant::now();
    let module = tidegate_adapter::adapt(component, options)?;
    logs::detail(|| {
        format!(
            "adapted a component of {} bytes in {} ms: {}",
            component.len(),
            begun.elapsed().as_millis(),
            description(&module)
        )
    });
    Ok(module)
}

/// The type, the size and the digest of a binary.
pub fn description(bytes: &[u8]) -> String {
    let kind = match EngineKind::detect(bytes) {
        Some(EngineKind::Component) => "component",
        Some(EngineKind::ProxyWasm) => "module",
        None => "not WebAssembly",
    };
    format!("{kind}, {} bytes, {}", bytes.len(), Digest::of(bytes))
}

/// The error for arguments that conflict with each other.
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

/// Reads a plugin's configuration. Also returns the file that contains it, if any.
pub fn configured(text: &str, plugin: &str) -> anyhow::Result<(Vec<u8>, Option<PathBuf>)> {
    if let Some(file) = file_of(text) {
        let bytes = fs::read(file).with_context(|| {
            format!("cannot read the configuration of `{plugin}` from `{file}`")
        })?;
        logs::detail(|| format!("read `{file}`: {} bytes", bytes.len()));
        return Ok((bytes, Some(PathBuf::from(file))));
    }
    // This was the syntax before 0.1.0.
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

/// Validates a configuration against the schema of a component or module, if there is one.
pub fn validate(module: &[u8], configuration: &[u8]) -> anyhow::Result<()> {
    // If the plugin is invalid, the error is reported when it is loaded.
    let Some(schema) = tidegate_adapter::schema(module) else {
        return Ok(());
    };
    let given = match configuration {
        [] => None,
        bytes => Some(Configuration::new(bytes).json()?),
    };
    configuration::check(given.as_ref(), &schema)?;
    logs::detail(|| "the configuration satisfies the schema of the plugin".to_owned());
    Ok(())
}

/// The hostcalls of a plugin that Tidegate's proxy does not implement. The plugin starts, but these calls fail.
pub fn unsupported(hostcalls: &[String]) -> Vec<&str> {
    let is_unsupported = |name: &&str| tidegate_host::UNSUPPORTED_HOSTCALLS.contains(name);
    let names = hostcalls.iter().map(String::as_str);
    names.filter(is_unsupported).collect()
}

/// Whether a module can send HTTP calls, which require clusters.
pub fn sends_calls(hostcalls: &[String]) -> bool {
    hostcalls.iter().any(|name| name == "proxy_http_call")
}

/// A unique name for a plugin. Proxies and logs identify plugins by their names.
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
