//! Envoy Gateway's `EnvoyExtensionPolicy`, as far as it runs plugins.
//!
//! Fields and rules are those of `api/v1alpha1` in envoyproxy/gateway 1.9: it fetches the module itself and serves it to its
//! proxies, knows neither phase nor priority (the order is that of the list), and of failing only whether it is open.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use serde_saphyr::{Commented, DoubleQuoted};

use crate::istio::model::PullPolicy;
use crate::resource::{Metadata, Resource, TargetRef, YamlError, yaml};
use crate::source::{Source, reference};

/// A plugin that Envoy Gateway runs.
#[derive(Debug, Clone)]
pub struct ExtensionPolicy {
    /// Name and namespace; the plugin is named by it too.
    pub metadata: Metadata,
    /// The gateways, sets of listeners and routes.
    pub targets: Vec<TargetRef>,
    /// How it is merged with the policy of a route's Gateway or ListenerSet, which it replaces otherwise; for routes only. Lists
    /// of Wasm plugins do not add up: the route's list replaces that of the Gateway, while other extensions are inherited.
    pub merge_type: Option<MergeType>,
    /// Where the module is.
    pub source: Source,
    /// The configuration as it arrives.
    pub configuration: Option<Value>,
    /// Which of the module's plugins, if it has several.
    pub plugin_name: Option<String>,
    /// Whether requests pass without the plugin when it fails.
    pub fail_open: bool,
    /// When an image is fetched again.
    pub pull_policy: Option<PullPolicy>,
    /// The secret with which an image is fetched.
    pub pull_secret: Option<String>,
    /// The proxy's environment variables that the plugin sees.
    pub host_environment: Vec<String>,
}

crate::istio::model::words! {
    /// A way to merge two policies. Either replaces the list of Wasm plugins.
    MergeType {
        /// As Kubernetes' strategic merge patch.
        StrategicMerge "StrategicMerge"
        /// As a JSON merge patch, RFC 7396.
        JsonMerge "JSONMerge"
    }
}

/// What a policy can be attached to so that plugins run.
const KINDS: [&str; 4] = ["Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute"];

/// What a policy can be attached to in vain: its plugins are filters of HTTP, which these routes do not have.
const CONNECTION_KINDS: [&str; 3] = ["TCPRoute", "TLSRoute", "UDPRoute"];

/// Why a manifest is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Attached to nothing.
    #[error(
        "an EnvoyExtensionPolicy requires a target: a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    NoTarget,
    /// Attached to what Envoy Gateway does not know.
    #[error(
        "Envoy Gateway cannot attach a plugin to `{0}`: use a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    Target(TargetRef),
    /// Attached to connections.
    #[error(
        "Envoy Gateway accepts a policy for `{0}`, but runs no Wasm plugin there: use a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    Connections(TargetRef),
    /// Merged, but not for a route.
    #[error(
        "the policy for `{0}` cannot be merged, since the API server allows `mergeType` only for routes: omit the merge type, or use an HTTPRoute or GRPCRoute"
    )]
    Merge(TargetRef),
    /// Not fetched.
    #[error("Envoy Gateway cannot read files of the proxy: use an `oci://` or `https://` URL")]
    File,
    /// A variable that comes twice.
    #[error("the environment variable `{0}` is specified twice")]
    VariableTwice(String),
    /// Not written.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    target_refs: &'a [TargetRef],
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_type: Option<MergeType>,
    wasm: [Wasm<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wasm<'a> {
    name: &'a str,
    #[serde(rename = "rootID", skip_serializing_if = "Option::is_none")]
    root_id: Option<&'a str>,
    code: Code,
    fail_open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Env<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Code {
    #[serde(rename = "type")]
    code_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_policy: Option<PullPolicy>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    url: String,
    sha256: Commented<DoubleQuoted<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_secret_ref: Option<SecretRef>,
}

#[derive(Serialize)]
struct SecretRef {
    kind: &'static str,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Env<'a> {
    host_keys: &'a [String],
}

// === impl ExtensionPolicy ===

impl ExtensionPolicy {
    /// The manifest.
    pub fn to_yaml(&self) -> Result<String, PolicyError> {
        self.check_targets()?;
        let host_keys = &*self.host_environment;
        let mut seen = BTreeSet::new();
        if let Some(twice) = host_keys.iter().find(|name| !seen.insert(*name)) {
            return Err(PolicyError::VariableTwice(twice.clone()));
        }
        let resource = Resource {
            api_version: "gateway.envoyproxy.io/v1alpha1",
            kind: "EnvoyExtensionPolicy",
            metadata: &self.metadata,
            spec: Spec {
                target_refs: &self.targets,
                merge_type: self.merge_type,
                wasm: [Wasm {
                    name: self.metadata.name.as_str(),
                    root_id: self.plugin_name.as_deref(),
                    code: self.code()?,
                    fail_open: self.fail_open,
                    env: (!host_keys.is_empty()).then_some(Env { host_keys }),
                    config: self.configuration.as_ref(),
                }],
            },
        };
        Ok(yaml("", &resource)?)
    }

    fn check_targets(&self) -> Result<(), PolicyError> {
        if self.targets.is_empty() {
            return Err(PolicyError::NoTarget);
        }
        for target in &self.targets {
            let kind = &*target.kind;
            if CONNECTION_KINDS.contains(&kind) {
                return Err(PolicyError::Connections(target.clone()));
            }
            if !KINDS.contains(&kind) {
                return Err(PolicyError::Target(target.clone()));
            }
            if self.merge_type.is_some() && !kind.ends_with("Route") {
                return Err(PolicyError::Merge(target.clone()));
            }
        }
        Ok(())
    }

    fn code(&self) -> Result<Code, PolicyError> {
        let place = |url: &str, sha256: &str, of: &str| Place {
            url: url.to_owned(),
            sha256: Commented(DoubleQuoted(sha256.to_owned()), of.to_owned()),
            pull_secret_ref: None,
        };
        let mut code = Code {
            code_type: "Image",
            image: None,
            http: None,
            pull_policy: self.pull_policy,
        };
        match &self.source {
            Source::Image {
                repository,
                tag,
                digest,
            } => {
                let url = reference(repository, tag.as_deref(), digest);
                let of = "of the image's manifest, not of the module";
                let secret = self.pull_secret.clone();
                code.image = Some(Place {
                    pull_secret_ref: secret.map(|name| SecretRef {
                        kind: "Secret",
                        name,
                    }),
                    ..place(&url, digest, of)
                });
            }
            Source::Http { url, sha256 } => {
                code.code_type = "HTTP";
                code.http = Some(place(url, sha256, "of the module, unpacked"));
            }
            Source::File { .. } => return Err(PolicyError::File),
        }
        Ok(code)
    }
}
