//! Istio's WasmPlugin and TrafficExtension, which have the same contents in different fields.

use anyhow::bail;
use clap::Args;
use tidegate_deploy::configuration::Way;
use tidegate_deploy::istio::manifest::Deployment;
use tidegate_deploy::istio::model::{FailStrategy, MatchMode, Phase, PluginType, Variable};
use tidegate_deploy::istio::validate;

use super::resource::{ImageArgs, Module, ResourceArgs, ScopeArgs};
use super::{variable, word};

#[derive(Args)]
pub struct IstioArgs {
    #[command(flatten)]
    resource: ResourceArgs,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Phase in which Istio runs the plugin. Default: no phase; the plugin runs after the plugins of all phases
    #[arg(long, value_name = "PHASE", value_parser = word::<Phase>())]
    phase: Option<Phase>,

    /// Order within the phase. Higher priorities run first; plugins without a priority run last
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,

    /// What the proxy does if the plugin cannot be fetched or has trapped [default: FAIL_CLOSE]
    #[arg(long, value_name = "STRATEGY", value_parser = word::<FailStrategy>())]
    fail_strategy: Option<FailStrategy>,

    #[command(flatten)]
    image: ImageArgs,

    /// Apply only to this direction of traffic. Gateway listeners match only CLIENT and CLIENT_AND_SERVER
    #[arg(long, value_name = "MODE", value_parser = word::<MatchMode>())]
    match_mode: Option<MatchMode>,

    /// Apply only to this port. Repeat the option, or separate ports with commas
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,

    /// Environment variable. Without a value, it is inherited from the proxy
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<Variable>,

    /// Type of the plugin [default: HTTP]
    #[arg(long = "type", value_name = "TYPE", value_parser = word::<PluginType>())]
    plugin_type: Option<PluginType>,
}

pub(super) const WASM_PLUGIN_EXAMPLES: &str = "\
Examples:
  tidegate manifest wasm-plugin oci://127.0.0.1:5000/greeter:1.0.0 | \\
      kubectl apply -f -
  tidegate manifest wasm-plugin rate-limit.wasm=@limits.json \\
      --url oci://ghcr.io/me/rate-limit:1.0 --sha256 \"$DIGEST\" \\
      --selector app=web --phase AUTHZ

The generated resource is validated with the rules of `tidegate check`. The command fails if Istio would change the numbers in the \
configuration.";

pub(super) const TRAFFIC_EXTENSION_EXAMPLES: &str = "\
Examples:
  tidegate manifest traffic-extension oci://127.0.0.1:5000/greeter:1.0.0 \\
      --target-ref Gateway/public
  tidegate manifest traffic-extension greeter.wasm='{\"greeting\": \"hello\"}' \\
      --url oci://ghcr.io/me/greeter:1.0 --sha256 \"$DIGEST\" --match-mode SERVER

The generated resource is validated with the rules of `tidegate check`. The command fails if Istio would change the numbers in the \
configuration.";

// === impl IstioArgs ===

impl IstioArgs {
    pub fn execute(self, kind: validate::Kind) -> anyhow::Result<()> {
        let Module {
            ready,
            metadata,
            source,
        } = self.resource.module(Way::Istio)?;
        let module = ready.facts.sha256;
        let deployment = Deployment {
            metadata,
            scope: self.scope.scope(),
            pull_secret: self.image.pull_secret(&source)?,
            source,
            configuration: ready.arrives,
            plugin_name: self.resource.plugin_name.clone(),
            phase: self.phase,
            priority: self.priority,
            mode: self.match_mode,
            ports: self.port,
            fail_strategy: self.fail_strategy,
            pull_policy: self.image.image_pull_policy,
            environment: self.env,
            plugin_type: self.plugin_type,
        };
        let yaml = deployment.to_yaml(kind)?;
        judge(&yaml, module)?;
        self.resource.write(&yaml)
    }
}

/// Warnings of `tidegate check` that are errors here: requests would bypass a plugin that should fail closed, or never reach it.
const FATAL: [&str; 3] = [
    "url.dropped",
    "sha256.of-module",
    "vmConfig.env.name.reserved",
];

/// Validates a manifest with the rules of `tidegate check`. A manifest that the API server would reject is not written.
fn judge(yaml: &str, module: String) -> anyhow::Result<()> {
    let options = validate::Options {
        module_sha256: Some(module),
        ..validate::Options::default()
    };
    let report = validate::validate(yaml, &options)?;
    let is_fatal =
        |it: &&validate::Finding| it.severity == validate::Severity::Error || is_listed(&it.rule);
    let faults: Vec<_> = report
        .findings
        .iter()
        .filter(is_fatal)
        .map(|it| format!("{}: {}", it.field, it.message))
        .collect();
    if !faults.is_empty() {
        bail!("the manifest would be invalid: {}", faults.join("; "));
    }
    Ok(())
}

/// The name of a rule can have a prefix, which is its location.
fn is_listed(rule: &str) -> bool {
    FATAL.iter().any(|fatal| rule.ends_with(fatal))
}
