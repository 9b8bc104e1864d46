//! Generates `WasmPlugin` and `TrafficExtension` manifests for `kubectl apply`.
//!
//! The API server admits some manifests that have no effect in Istio. Such manifests are rejected here. Problems in
//! hand-written manifests are reported by `validate`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_saphyr::{Commented, DoubleQuoted};

use super::model::{
    FailStrategy, Match, MatchMode, Phase, Placement, PluginType, Port, PullPolicy, Variable,
    VmConfig, WasmConfig, Word as _,
};
use super::validate::Kind;
use crate::resource::{Metadata, Resource, Scope, TargetRef, YamlError, yaml};
use crate::source::Source;

/// A plugin that is deployed to a mesh with one of Istio's plugin kinds.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The name and namespace of the resource.
    pub metadata: Metadata,
    /// The workloads that the plugin applies to.
    pub scope: Scope,
    /// The location of the module.
    pub source: Source,
    /// The configuration as the plugin receives it.
    pub configuration: Option<Value>,
    /// The plugin to run, if the module contains several.
    pub plugin_name: Option<String>,
    /// The position in the filter chain.
    pub phase: Option<Phase>,
    /// The priority within the phase. Higher values come first.
    pub priority: Option<i32>,
    /// The direction of the traffic.
    pub mode: Option<MatchMode>,
    /// The ports of the traffic. Empty means all ports.
    pub ports: Vec<u16>,
    /// How failures are handled.
    pub fail_strategy: Option<FailStrategy>,
    /// When an image is pulled again.
    pub pull_policy: Option<PullPolicy>,
    /// The secret with the credentials for pulling the image.
    pub pull_secret: Option<String>,
    /// The environment variables of the plugin.
    pub environment: Vec<Variable>,
    /// The type of filter that the plugin implements.
    pub plugin_type: Option<PluginType>,
}

/// An error returned when a manifest cannot be generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The match never selects any traffic of a gateway.
    #[error(
        "Istio treats the traffic of a gateway as {}, so the mode SERVER never matches on `{target}`: omit the mode", MatchMode::Client.word()
    )]
    ServerOnGateway {
        /// The resource that the plugin is attached to.
        target: TargetRef,
    },
    /// The match never selects any traffic of a waypoint.
    #[error(
        "Istio treats the traffic of a waypoint as SERVER, without a port, so {what} never matches on `{target}`: omit it"
    )]
    MatchOnWaypoint {
        /// The resource that the plugin is attached to.
        target: TargetRef,
        /// The part of the match that selects nothing.
        what: &'static str,
    },
    /// Istio does not attach plugins to this kind.
    #[error(
        "Istio cannot attach a plugin to `{0}`: use a Gateway, GatewayClass, Service or ServiceEntry"
    )]
    Target(TargetRef),
    /// The patch does not match any listener of the target.
    #[error(
        "an EnvoyFilter with the context {context} has no effect on `{target}`: use the context GATEWAY for a Gateway, and a selector for other contexts"
    )]
    Context {
        /// The resource that the plugin is attached to.
        target: TargetRef,
        /// The listeners that the patch applies to.
        context: &'static str,
    },
    /// There are more targets than the API server accepts.
    #[error(
        "{0} target references exceed the limit of 16 in the API server: use several resources"
    )]
    TooManyTargets(usize),
    /// An environment variable is specified twice.
    #[error("the environment variable `{0}` is specified twice, which the API server rejects")]
    VariableTwice(String),
    /// The API server rejects an environment variable.
    #[error(
        "the environment variable `{0}` must have a name of 1 to 256 characters and a value of at most 2048"
    )]
    Variable(String),
    /// The manifest cannot be serialized.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

#[derive(Serialize)]
struct WasmPluginSpec {
    #[serde(flatten)]
    scope: ScopeFields,
    #[serde(flatten)]
    wasm: WasmConfig,
    #[serde(flatten)]
    placement: Placement,
}

#[derive(Serialize)]
struct TrafficExtensionSpec {
    #[serde(flatten)]
    scope: ScopeFields,
    #[serde(flatten)]
    placement: Placement,
    wasm: WasmConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScopeFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Selector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<TargetRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

// === impl Deployment ===

impl Deployment {
    /// Creates a plugin that applies to all workloads, without a configuration and with Istio's defaults.
    pub fn new(metadata: Metadata, source: Source) -> Self {
        Self {
            metadata,
            scope: Scope::default(),
            source,
            configuration: None,
            plugin_name: None,
            phase: None,
            priority: None,
            mode: None,
            ports: Vec::new(),
            fail_strategy: None,
            pull_policy: None,
            pull_secret: None,
            environment: Vec::new(),
            plugin_type: None,
        }
    }

    /// Returns the manifest as YAML.
    pub fn to_yaml(&self, kind: Kind) -> Result<String, ManifestError> {
        self.check_match()?;
        check_targets(&self.scope)?;
        check_environment(&self.environment)?;
        let scope = ScopeFields::of(&self.scope);
        let placement = self.placement();
        let wasm = self.wasm();
        let text = match kind {
            Kind::WasmPlugin => yaml(
                "",
                &Resource {
                    api_version: "extensions.istio.io/v1alpha1",
                    kind: "WasmPlugin",
                    metadata: &self.metadata,
                    spec: WasmPluginSpec {
                        scope,
                        wasm,
                        placement,
                    },
                },
            ),
            Kind::TrafficExtension => yaml(
                "",
                &Resource {
                    api_version: "extensions.istio.io/v1alpha1",
                    kind: "TrafficExtension",
                    metadata: &self.metadata,
                    spec: TrafficExtensionSpec {
                        scope,
                        placement,
                        wasm,
                    },
                },
            ),
        };
        Ok(text?)
    }

    fn placement(&self) -> Placement {
        let matches = match (self.mode, self.ports.as_slice()) {
            (None, []) => Vec::new(),
            (mode, ports) => vec![Match {
                mode,
                ports: ports
                    .iter()
                    .map(|number| Port { number: *number })
                    .collect(),
            }],
        };
        Placement {
            phase: self.phase,
            priority: self.priority,
            matches,
        }
    }

    fn wasm(&self) -> WasmConfig {
        let of = match &self.source {
            Source::Image { .. } => "of the image's manifest, not of the module",
            _ => "of the module, unpacked",
        };
        let sha256 = self.source.sha256();
        WasmConfig {
            url: self.source.url(),
            sha256: sha256.map(|sha256| Commented(DoubleQuoted(sha256.to_owned()), of.to_owned())),
            image_pull_policy: self.pull_policy,
            image_pull_secret: self.pull_secret.clone(),
            plugin_name: self.plugin_name.clone(),
            plugin_type: self.plugin_type,
            fail_strategy: self.fail_strategy,
            plugin_config: self.configuration.clone(),
            vm_config: VmConfig {
                env: self.environment.clone(),
            },
        }
    }

    /// Returns an error for a match that never selects any traffic of the target. Istio would not report it.
    fn check_match(&self) -> Result<(), ManifestError> {
        let Scope::Targets(targets) = &self.scope else {
            return Ok(());
        };
        for target in targets {
            if target.kind == "Gateway" {
                // Waypoints can also be targeted as `Gateway`; for them, SERVER is the mode that applies anyway.
                if self.mode == Some(MatchMode::Server) {
                    return Err(ManifestError::ServerOnGateway {
                        target: target.clone(),
                    });
                }
                continue;
            }
            let what = match (self.mode, self.plugin_type) {
                (Some(MatchMode::Client), _) => "mode CLIENT",
                // Connections have a port. Requests are matched before they have one.
                (_, Some(PluginType::Network)) => continue,
                _ if !self.ports.is_empty() => "a port",
                _ => continue,
            };
            return Err(ManifestError::MatchOnWaypoint {
                target: target.clone(),
                what,
            });
        }
        Ok(())
    }
}

/// Returns an error for targets that Istio does not support.
pub(super) fn check_targets(scope: &Scope) -> Result<(), ManifestError> {
    let Scope::Targets(targets) = scope else {
        return Ok(());
    };
    if targets.len() > 16 {
        return Err(ManifestError::TooManyTargets(targets.len()));
    }
    let known = ["Gateway", "GatewayClass", "Service", "ServiceEntry"];
    match targets
        .iter()
        .find(|target| !known.contains(&&*target.kind))
    {
        Some(target) => Err(ManifestError::Target(target.clone())),
        None => Ok(()),
    }
}

/// Returns an error for environment variables that the API server or Envoy would reject.
pub(super) fn check_environment(environment: &[Variable]) -> Result<(), ManifestError> {
    for (nth, variable) in environment.iter().enumerate() {
        let name = &variable.name;
        let length = |text: &str| text.chars().count();
        let value = variable.value.as_deref().map_or(0, length);
        if name.is_empty() || length(name) > 256 || value > 2048 {
            return Err(ManifestError::Variable(name.clone()));
        }
        if environment
            .iter()
            .take(nth)
            .any(|other| other.name == *name)
        {
            return Err(ManifestError::VariableTwice(name.clone()));
        }
    }
    Ok(())
}

// === impl ScopeFields ===

impl ScopeFields {
    pub(super) fn of(scope: &Scope) -> Self {
        let (selector, target_refs) = match scope {
            Scope::Everything => (None, Vec::new()),
            Scope::Selector(labels) => (
                Some(Selector {
                    match_labels: labels.clone(),
                }),
                Vec::new(),
            ),
            Scope::Targets(targets) => (None, targets.clone()),
        };
        Self {
            selector,
            target_refs,
        }
    }
}
