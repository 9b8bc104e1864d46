//! `tidegate manifest`: what a proxy or a mesh needs to run plugins.
//!
//! Each kind of configuration is a subcommand with its own options, in the files of `manifest/`. What is in the files that they write is
//! `tidegate-deploy`'s matter.

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use tidegate_adapter::{check, inspect};
use tidegate_deploy::configuration::{self, Configuration, Way};
use tidegate_deploy::istio::model::{Variable, Word};
use tidegate_deploy::istio::validate;
use tidegate_deploy::module::Facts;
use tidegate_oci::Digest;

use crate::logs;
use crate::plugin::Plugin;

mod envoy;
mod envoy_filter;
mod extension_policy;
mod istio;
mod resource;

/// Generate configuration for Envoy, Istio or Envoy Gateway
#[derive(Args)]
#[command(after_help = EXAMPLES, subcommand_value_name = "KIND", subcommand_help_heading = "Kinds")]
pub struct Manifest {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Generate a WasmPlugin (Istio)
    #[command(after_help = istio::WASM_PLUGIN_EXAMPLES)]
    WasmPlugin(istio::IstioArgs),
    /// Generate a TrafficExtension (Istio 1.30 and newer)
    #[command(after_help = istio::TRAFFIC_EXTENSION_EXAMPLES)]
    TrafficExtension(istio::IstioArgs),
    EnvoyFilter(envoy_filter::EnvoyFilterArgs),
    EnvoyExtensionPolicy(extension_policy::ExtensionPolicyArgs),
    Envoy(envoy::EnvoyArgs),
}

const EXAMPLES: &str = "\
Examples:
  tidegate manifest wasm-plugin oci://127.0.0.1:5000/greeter:1.0.0 --selector app=web
  tidegate manifest envoy greeter.wasm --upstream http://127.0.0.1:9000 \\
      -o envoy.json

Components are adapted first. CONFIG is validated against the plugin's schema, if it has one. Run `tidegate help manifest KIND` for the \
options and examples of a kind.";

/// A plugin as it will run: its module, what is known of it, and its configuration, which it takes.
struct Ready {
    module: bytes::Bytes,
    facts: Facts,
    /// What the plugin calls itself.
    own_name: Option<String>,
    configuration: Option<Configuration>,
    /// What of the configuration arrives.
    arrives: Option<serde_json::Value>,
}

// === impl Manifest ===

impl Manifest {
    pub fn execute(self) -> anyhow::Result<()> {
        match self.kind {
            Kind::WasmPlugin(args) => args.execute(validate::Kind::WasmPlugin),
            Kind::TrafficExtension(args) => args.execute(validate::Kind::TrafficExtension),
            Kind::EnvoyFilter(args) => args.execute(),
            Kind::EnvoyExtensionPolicy(args) => args.execute(),
            Kind::Envoy(args) => args.execute(),
        }
    }
}

// === impl Ready ===

impl Ready {
    /// Adapts a plugin and makes sure that it will take its configuration as it arrives.
    fn new(plugin: &Plugin, way: Way) -> anyhow::Result<Self> {
        let place = &plugin.place;
        let module = plugin.adapted()?;
        let refusals: Vec<_> = check(&module).iter().map(ToString::to_string).collect();
        if !refusals.is_empty() {
            bail!("Envoy rejects `{place}`: {}", refusals.join("; "));
        }
        let inspection = inspect(&module).with_context(|| format!("cannot inspect `{place}`"))?;
        let facts = Facts {
            callbacks: inspection.callbacks,
            hostcalls: inspection.hostcalls,
            wasi: inspection.wasi.into_iter().map(|it| it.function).collect(),
            sha256: Digest::of(&module).hex().to_owned(),
        };
        let about = || match &plugin.configuration_file {
            Some(file) => format!("the configuration of `{place}` in `{}`", file.display()),
            None => format!("the configuration of `{place}`"),
        };
        let configuration = match plugin.configuration.as_slice() {
            [] => None,
            bytes => Some(Configuration::new(bytes)),
        };
        let arrival = configuration
            .as_ref()
            .map(|configuration| configuration.arrival(way))
            .transpose()
            .with_context(about)?;
        let (arrives, nulls) = arrival.map_or((None, Vec::new()), |it| (it.value, it.nulls));
        for null in nulls {
            logs::note(&format!(
                "warning: {} is null at {null}: fields that are null do not reach the plugin, so the field is omitted",
                about()
            ));
        }
        if let Some(schema) = &inspection.schema {
            if let Some(configuration) = &configuration {
                configuration.json().with_context(about)?;
            }
            configuration::check(arrives.as_ref(), schema).with_context(about)?;
        }
        Ok(Self {
            module,
            facts,
            own_name: inspection.name,
            configuration,
            arrives,
        })
    }
}

/// Reads one of a closed list of words.
fn word<T: Word + Send + Sync>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(T::ALL.iter().map(|(word, _)| *word)).try_map(|word| {
        let found = T::ALL.iter().find(|(known, _)| *known == word);
        found.map(|(_, value)| *value).ok_or("not one of the words")
    })
}

fn variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("expected NAME=VALUE, or NAME to inherit the variable from the proxy".into());
    }
    Ok(Variable {
        name: name.to_owned(),
        value,
    })
}
