//! The plugins of a scenario, and their configurations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::verdict::Place;

/// A plugin of the chain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// A package of the cargo workspace, or a `.wasm` file relative to the scenario file: a component or a Proxy-Wasm module.
    pub guest: String,
    /// The name of the plugin in log lines, unique in the chain. Default: the package, or the file name without its extension.
    pub name: Option<String>,
    /// The configuration. A string is passed unchanged, any other value as JSON.
    pub configuration: Option<serde_json::Value>,
    /// The file that contains the configuration, relative to the scenario file. The plugin receives its bytes unchanged.
    pub configuration_file: Option<PathBuf>,
    /// The contents of `configuration_file`.
    #[serde(skip)]
    pub file_content: Vec<u8>,
    /// The configuration of the plugin's virtual machine. A string is passed unchanged, any other value as JSON.
    pub vm_configuration: Option<serde_json::Value>,
    /// How streams are handled after the plugin has trapped.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Environment variables that are visible to the plugin.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// How streams are handled after a plugin has trapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// Active streams receive status 503. A new instance serves the streams that follow.
    #[default]
    Reload,
    /// All streams receive status 503 from then on.
    Closed,
    /// Streams bypass the plugin.
    Open,
}

// === impl Plugin ===

impl Plugin {
    /// Returns the name of the plugin in log lines.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| match self.file() {
            None => &self.guest,
            Some(file) => file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or(&self.guest),
        })
    }

    /// Returns the path of the guest, if it is a file and not a package.
    pub fn file(&self) -> Option<&Path> {
        let path = Path::new(&self.guest);
        let is_file = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        is_file.then_some(path)
    }

    /// Reads the configuration file, if there is one. Its path is relative to `folder`. `place` is where the scenario names it.
    pub(super) fn read_configuration(
        &mut self,
        folder: &Path,
        place: Place,
    ) -> Result<(), (Place, String)> {
        if let Some(file) = &self.configuration_file {
            let path = folder.join(file);
            self.file_content = std::fs::read(&path).map_err(|error| {
                let wrong = format!(
                    "cannot read `configuration-file` `{}`: {error}",
                    path.display()
                );
                (place, wrong)
            })?;
        }
        Ok(())
    }

    /// Returns the bytes of the configuration, or an empty vector if the scenario has no configuration.
    pub fn configuration(&self) -> Vec<u8> {
        match &self.configuration {
            None => self.file_content.clone(),
            Some(value) => bytes(value),
        }
    }

    /// Returns the bytes of the configuration of the virtual machine, or an empty vector if the scenario has none.
    pub fn vm_configuration(&self) -> Vec<u8> {
        self.vm_configuration
            .as_ref()
            .map(bytes)
            .unwrap_or_default()
    }
}

/// Returns a string unchanged, and any other value as JSON.
fn bytes(value: &serde_json::Value) -> Vec<u8> {
    match value {
        serde_json::Value::String(text) => text.clone().into_bytes(),
        value => value.to_string().into_bytes(),
    }
}
