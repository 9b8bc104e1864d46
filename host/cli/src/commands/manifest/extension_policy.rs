//! Envoy Gateway's EnvoyExtensionPolicy.

use clap::{Args, ValueEnum};
use tidegate_deploy::configuration::Way;
use tidegate_deploy::gateway::{ExtensionPolicy, MergeType};
use tidegate_deploy::resource::TargetRef;

use super::resource::{ImageArgs, Module, ResourceArgs};
use super::word;

/// Generate an EnvoyExtensionPolicy (Envoy Gateway)
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ExtensionPolicyArgs {
    #[command(flatten)]
    resource: ResourceArgs,

    /// Attach to this resource: `Gateway/NAME`, `ListenerSet/NAME`, `HTTPRoute/NAME` or `GRPCRoute/NAME`. Repeat the option, or separate
    /// resources with commas
    #[arg(long, required = true, value_name = "KIND/NAME", value_delimiter = ',')]
    target_ref: Vec<TargetRef>,

    /// Only for routes: how to merge this policy into the policy for the ListenerSet or Gateway. Extensions of other kinds are inherited,
    /// but Wasm plugins are replaced. Default: no merging; this policy replaces the other one
    #[arg(long, value_name = "TYPE", value_parser = word::<MergeType>())]
    merge_type: Option<MergeType>,

    /// What the proxy does if the plugin cannot be fetched or has trapped
    #[arg(
        long,
        value_name = "STRATEGY",
        default_value = "FAIL_CLOSE",
        ignore_case = true
    )]
    fail_strategy: Strategy,

    #[command(flatten)]
    image: ImageArgs,

    /// Environment variable to inherit from the proxy
    #[arg(long, value_name = "NAME", value_parser = variable_name)]
    env: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Strategy {
    #[value(name = "FAIL_CLOSE")]
    Close,
    #[value(name = "FAIL_OPEN")]
    Open,
}

const EXAMPLES: &str = "\
Examples:
  tidegate manifest envoy-extension-policy oci://127.0.0.1:5000/greeter:1.0.0 \\
      --target-ref Gateway/public
  tidegate manifest envoy-extension-policy greeter.wasm \\
      --url oci://ghcr.io/me/greeter:1.0 --sha256 \"$DIGEST\" \\
      --target-ref HTTPRoute/web --fail-strategy FAIL_OPEN";

// === impl ExtensionPolicyArgs ===

impl ExtensionPolicyArgs {
    pub fn execute(self) -> anyhow::Result<()> {
        let Module {
            ready,
            metadata,
            source,
        } = self.resource.module(Way::Gateway)?;
        let policy = ExtensionPolicy {
            metadata,
            targets: self.target_ref,
            merge_type: self.merge_type,
            pull_secret: self.image.pull_secret(&source)?,
            source,
            configuration: ready.arrives,
            plugin_name: self.resource.plugin_name.clone(),
            fail_open: self.fail_strategy == Strategy::Open,
            pull_policy: self.image.image_pull_policy,
            host_environment: self.env,
        };
        self.resource.write(&policy.to_yaml()?)
    }
}

fn variable_name(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        None if !text.is_empty() => Ok(text.to_owned()),
        None => Err("expected NAME".into()),
        Some((name, _)) => Err(format!(
            "Envoy Gateway allows no values: pass `--env {name}` to inherit the variable from the proxy, or use `manifest wasm-plugin`"
        )),
    }
}
