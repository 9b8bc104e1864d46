//! `tidegate manifest`: what a proxy or a mesh needs to run plugins.
//!
//! This file has the arguments and says which kind takes which; `manifest/envoy.rs` writes bootstraps of plain Envoys,
//! `manifest/resource.rs` what Kubernetes is given. What is in them is `tidegate-deploy`'s.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use tidegate_adapter::{check, inspect};
use tidegate_deploy::configuration::{self, Configuration, Way};
use tidegate_deploy::istio::envoy_filter::Context;
use tidegate_deploy::istio::model::{
    FailStrategy, MatchMode, Phase, PluginType, PullPolicy, Variable, Word,
};
use tidegate_deploy::module::Facts;
use tidegate_deploy::resource::{Label, Name, TargetRef};
use tidegate_oci::Digest;

use crate::plugin::{self, Plugin, PluginArg};
use crate::registry::sha256;
use crate::serve::address;
use crate::upstream::UpstreamUrl;
use crate::{file, logs};

mod envoy;
mod resource;

/// Generate the configuration with which Envoy, Istio or Envoy Gateway runs plugins
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Manifest {
    /// The kind of configuration
    #[arg(long, value_name = "KIND", ignore_case = true)]
    kind: Kind,

    /// Plugins, in the order in which requests pass through them. CONFIG is literal, or `@FILE`. It is
    /// validated against the plugin's schema, if it has one. Components are adapted first. Only `envoy` takes more than one plugin
    #[arg(required = true, value_name = "PLUGIN.wasm[=CONFIG]")]
    plugins: Vec<PluginArg>,

    /// The file to write; `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    #[command(flatten)]
    envoy: EnvoyArgs,

    #[command(flatten)]
    resource: ResourceArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Options for --kind envoy")]
struct EnvoyArgs {
    /// The upstream: `http://HOST[:PORT]`. Required for `envoy`
    #[arg(long, value_name = "URL", value_parser = UpstreamUrl::parse, required_if_eq("kind", "envoy"))]
    upstream: Option<UpstreamUrl>,

    /// Address of the listener [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,

    /// Address of the admin interface. Default: none
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,

    /// Format of the bootstrap. Envoy determines the format from the file extension, and reads files without one as JSON [default: json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write modules to this directory, as `NAME.proxy.wasm`, and refer to them, instead of inlining them
    #[arg(long, value_name = "DIR")]
    module_dir: Option<PathBuf>,
}

#[derive(Args)]
#[command(next_help_heading = "Options for Kubernetes resources")]
struct ResourceArgs {
    /// URL of the module: `oci://REGISTRY/REPOSITORY[:TAG][@sha256:…]`, as printed by `tidegate push`, `https://…` or
    /// `http://…`, or, in Istio, `file:///PATH`. Required
    #[arg(long, value_name = "URL", required_if_eq_any([
        ("kind", "WasmPlugin"), ("kind", "TrafficExtension"), ("kind", "EnvoyExtensionPolicy"), ("kind", "EnvoyFilter"),
    ]))]
    url: Option<String>,

    /// Digest of the image manifest, as printed by `tidegate push`. Required for an image unless the URL contains it
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    /// Name of the resource. Default: the name of the plugin
    #[arg(long)]
    name: Option<Name>,

    /// Namespace of the resource. Default: none, so that `kubectl` chooses it
    #[arg(long)]
    namespace: Option<Name>,

    /// Apply only to pods that have all of these labels
    #[arg(
        long,
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        conflicts_with = "target_ref"
    )]
    selector: Vec<Label>,

    /// Attach to this resource: `Gateway/NAME`; in Istio also `GatewayClass/…`, `Service/…` and `ServiceEntry/…`; in Envoy
    /// Gateway also `HTTPRoute/…` and `GRPCRoute/…`. Required for `EnvoyExtensionPolicy`
    #[arg(
        long,
        value_name = "KIND/NAME",
        value_delimiter = ',',
        required_if_eq("kind", "EnvoyExtensionPolicy")
    )]
    target_ref: Vec<TargetRef>,

    /// Position in Istio's filter chain. Default: after the plugins of all phases
    #[arg(long, value_parser = word::<Phase>())]
    phase: Option<Phase>,

    /// Order within a phase: higher priorities run first, and plugins without one run last
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,

    /// What the proxy does if the plugin cannot be fetched or has trapped [default: FAIL_CLOSE]
    #[arg(long, value_parser = word::<FailStrategy>())]
    fail_strategy: Option<FailStrategy>,

    /// Name of the pull secret, of type `kubernetes.io/dockerconfigjson`
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<Name>,

    /// When the image is pulled. No effect if it is pinned by digest and already cached
    #[arg(long, value_parser = word::<PullPolicy>())]
    image_pull_policy: Option<PullPolicy>,

    /// Apply only to this direction of traffic. Gateway listeners match only CLIENT and CLIENT_AND_SERVER
    #[arg(long, value_parser = word::<MatchMode>())]
    match_mode: Option<MatchMode>,

    /// Apply only to these ports
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,

    /// Environment variable. Without a value, it is inherited from the proxy; Envoy Gateway allows no values
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<Variable>,

    /// Type of the plugin [default: HTTP]
    #[arg(long = "type", value_parser = word::<PluginType>())]
    plugin_type: Option<PluginType>,

    /// Name of the plugin within the module, if the module contains several (the root id)
    #[arg(long, value_name = "NAME")]
    plugin_name: Option<String>,

    /// The listeners to which an `EnvoyFilter` applies. Required for that kind
    #[arg(long, value_parser = word::<Context>(), required_if_eq("kind", "EnvoyFilter"))]
    context: Option<Context>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Istio
    #[value(name = "WasmPlugin")]
    WasmPlugin,
    /// Istio 1.30 and newer
    #[value(name = "TrafficExtension")]
    TrafficExtension,
    /// Envoy Gateway
    #[value(name = "EnvoyExtensionPolicy")]
    EnvoyExtensionPolicy,
    /// Istio, with the plugin restricted to the capabilities it needs, and its configuration passed unchanged
    #[value(name = "EnvoyFilter")]
    EnvoyFilter,
    /// Bootstrap of an Envoy without a control plane, with plugins restricted to the capabilities they need
    #[value(name = "envoy")]
    Envoy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

const EXAMPLES: &str = "\
Examples:
  envoy -c <(tidegate manifest --kind envoy greeter.wasm --upstream http://127.0.0.1:9000)
  tidegate manifest --kind envoy rate-limit.wasm=@limits.json headers.wasm='{}' --upstream http://httpbin.org -o envoy.json
  tidegate manifest --kind envoy greeter.wasm --upstream http://127.0.0.1:9000 --format yaml --module-dir modules
  tidegate manifest --kind WasmPlugin rate-limit.wasm=@limits.json --url oci://ghcr.io/me/rate-limit:1.0 --sha256 \"$DIGEST\" --selector app=web --phase AUTHZ | kubectl apply -f -
  tidegate manifest --kind TrafficExtension greeter.wasm --url \"$PINNED\" --target-ref Gateway/public
  tidegate manifest --kind EnvoyExtensionPolicy greeter.wasm --url \"$PINNED\" --target-ref HTTPRoute/web --fail-strategy FAIL_OPEN
  tidegate manifest --kind EnvoyFilter greeter.wasm --url \"$PINNED\" --selector app=web --context SIDECAR_INBOUND

In a bootstrap, a plugin that traps is restarted after about a second; until then, requests get 503. This requires Envoy 1.33 or newer.";

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
        self.refuse_foreign()?;
        let plugins = plugin::read(&self.plugins)?;
        let text = match self.kind {
            Kind::Envoy => envoy::manifest(&self.envoy, &plugins)?,
            kind => match plugins.as_slice() {
                [plugin] => resource::manifest(kind, &self.resource, plugin)?,
                _ => {
                    return Err(usage(format!(
                        "--kind {} takes a single plugin: generate one manifest for each plugin",
                        kind.name()
                    )));
                }
            },
        };
        file::write(&self.output, text.as_bytes())
    }

    /// Refuses options that the kind does not have, and names the kinds that do.
    fn refuse_foreign(&self) -> anyhow::Result<()> {
        use Kind::{Envoy, EnvoyExtensionPolicy, EnvoyFilter, TrafficExtension, WasmPlugin};
        const ISTIO: &[Kind] = &[WasmPlugin, TrafficExtension];
        const IMAGE: &[Kind] = &[WasmPlugin, TrafficExtension, EnvoyExtensionPolicy];
        const SELECTING: &[Kind] = &[WasmPlugin, TrafficExtension, EnvoyFilter];
        const ALL: &[Kind] = &[
            WasmPlugin,
            TrafficExtension,
            EnvoyExtensionPolicy,
            EnvoyFilter,
        ];
        const PLAIN: &[Kind] = &[Envoy];
        let (plain, resource) = (&self.envoy, &self.resource);
        let flags: [(&str, bool, &[Kind]); 22] = [
            ("upstream", plain.upstream.is_some(), PLAIN),
            ("listen", plain.listen.is_some(), PLAIN),
            ("admin", plain.admin.is_some(), PLAIN),
            ("format", plain.format.is_some(), PLAIN),
            ("module-dir", plain.module_dir.is_some(), PLAIN),
            ("url", resource.url.is_some(), ALL),
            ("sha256", resource.sha256.is_some(), ALL),
            ("name", resource.name.is_some(), ALL),
            ("namespace", resource.namespace.is_some(), ALL),
            ("selector", !resource.selector.is_empty(), SELECTING),
            ("target-ref", !resource.target_ref.is_empty(), ALL),
            ("phase", resource.phase.is_some(), ISTIO),
            ("priority", resource.priority.is_some(), ISTIO),
            ("fail-strategy", resource.fail_strategy.is_some(), ALL),
            (
                "image-pull-secret",
                resource.image_pull_secret.is_some(),
                IMAGE,
            ),
            (
                "image-pull-policy",
                resource.image_pull_policy.is_some(),
                IMAGE,
            ),
            ("match-mode", resource.match_mode.is_some(), ISTIO),
            ("port", !resource.port.is_empty(), ISTIO),
            ("env", !resource.env.is_empty(), ALL),
            ("type", resource.plugin_type.is_some(), ISTIO),
            ("plugin-name", resource.plugin_name.is_some(), ALL),
            ("context", resource.context.is_some(), &[EnvoyFilter]),
        ];
        for (flag, is_given, kinds) in flags {
            if is_given && !kinds.contains(&self.kind) {
                let mut names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                let last = names.pop().unwrap_or_default();
                let or = if names.is_empty() { "" } else { " or " };
                return Err(usage(format!(
                    "--{flag} cannot be used with --kind {}: it applies to {}{or}{last}",
                    self.kind.name(),
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
            Self::EnvoyFilter => "EnvoyFilter",
            Self::Envoy => "envoy",
        }
    }
}

// === impl Ready ===

impl Ready {
    /// Adapts a plugin and makes sure that it will take its configuration as it arrives.
    fn new(plugin: &Plugin, way: Way) -> anyhow::Result<Self> {
        let path = plugin.path.display();
        let module = plugin.adapted()?;
        let refusals: Vec<_> = check(&module).iter().map(ToString::to_string).collect();
        if !refusals.is_empty() {
            bail!("Envoy refuses `{path}`: {}", refusals.join("; "));
        }
        let inspection = inspect(&module).with_context(|| format!("cannot inspect `{path}`"))?;
        let facts = Facts {
            callbacks: inspection.callbacks,
            hostcalls: inspection.hostcalls,
            wasi: inspection.wasi.into_iter().map(|it| it.function).collect(),
            sha256: Digest::of(&module).hex().to_owned(),
        };
        let about = || match &plugin.configuration_file {
            Some(file) => format!("the configuration of `{path}` in `{}`", file.display()),
            None => format!("the configuration of `{path}`"),
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

/// Arguments that do not go together.
fn usage(message: String) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, message + "\n").into()
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
