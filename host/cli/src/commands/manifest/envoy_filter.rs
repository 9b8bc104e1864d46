//! Istio's EnvoyFilter, which passes the configuration unchanged, and restricts the plugin to the capabilities that it needs.

use clap::Args;
use tidegate_deploy::configuration::Way;
use tidegate_deploy::istio::envoy_filter::{Context, EnvoyFilter};
use tidegate_deploy::istio::model::{FailStrategy, Variable};

use super::resource::{Module, ResourceArgs, ScopeArgs};
use super::{variable, word};

/// Generate an EnvoyFilter (Istio), with the plugin restricted to the capabilities it needs, and its configuration passed unchanged
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EnvoyFilterArgs {
    #[command(flatten)]
    resource: ResourceArgs,

    #[command(flatten)]
    scope: ScopeArgs,

    /// The listeners to which the filter applies
    #[arg(long, value_parser = word::<Context>())]
    context: Context,

    /// What the proxy does if the plugin cannot be fetched or has trapped [default: FAIL_CLOSE]
    #[arg(long, value_name = "STRATEGY", value_parser = word::<FailStrategy>())]
    fail_strategy: Option<FailStrategy>,

    /// Environment variable. Without a value, it is inherited from the proxy
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<Variable>,
}

const EXAMPLES: &str = "\
Examples:
  tidegate manifest envoy-filter oci://127.0.0.1:5000/greeter:1.0.0 \\
      --selector app=web --context SIDECAR_INBOUND
  tidegate manifest envoy-filter greeter.wasm=@key.pem --context GATEWAY \\
      --url oci://ghcr.io/me/greeter:1.0 --sha256 \"$DIGEST\"

The configuration can be arbitrary bytes. Istio does not validate EnvoyFilters, and an upgrade of Istio can change the configuration that they \
patch. Use `wasm-plugin`, unless you need capability restrictions or an unchanged configuration.";

// === impl EnvoyFilterArgs ===

impl EnvoyFilterArgs {
    pub fn execute(self) -> anyhow::Result<()> {
        let Module {
            ready,
            metadata,
            source,
        } = self.resource.module(Way::Bytes)?;
        let filter = EnvoyFilter {
            metadata,
            scope: self.scope.scope(),
            context: self.context,
            source,
            configuration: ready.configuration.map(|it| it.bytes().to_owned()),
            plugin_name: self.resource.plugin_name.clone(),
            fail_strategy: self.fail_strategy.unwrap_or(FailStrategy::Close),
            environment: self.env,
            capabilities: ready.facts.capabilities(),
        };
        self.resource.write(&filter.to_yaml()?)
    }
}
