//! Envoy Gateway's `EnvoyExtensionPolicy` resource, limited to running Wasm plugins.
//!
//! The fields and rules are those of `api/v1alpha1` in envoyproxy/gateway 1.9. Envoy Gateway fetches the module and serves
//! it to its proxies. It supports neither phases nor priorities; plugins run in the order in which they are listed. For
//! failures it supports only fail-open and fail-closed.

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
    /// The name and namespace of the resource. The name is also used as the name of the plugin.
    pub metadata: Metadata,
    /// The Gateways, ListenerSets and routes that the policy is attached to.
    pub targets: Vec<TargetRef>,
    /// How the policy is merged with the policy of the route's Gateway or ListenerSet. Without a merge type, the policy
    /// replaces that policy. Valid for routes only. Lists of Wasm plugins are not merged: the list of the route replaces
    /// that of the Gateway, while other extensions are inherited.
    pub merge_type: Option<MergeType>,
    /// The location of the module.
    pub source: Source,
    /// The configuration as the plugin receives it.
    pub configuration: Option<Value>,
    /// The plugin to run, if the module contains several.
    pub plugin_name: Option<String>,
    /// Whether requests bypass the plugin when it fails.
    pub fail_open: bool,
    /// When an image is pulled again.
    pub pull_policy: Option<PullPolicy>,
    /// The secret with the credentials for pulling the image.
    pub pull_secret: Option<String>,
    /// The names of the proxy's environment variables that are visible to the plugin.
    pub host_environment: Vec<String>,
}

crate::istio::model::words! {
    /// How two policies are merged. With either type, the list of Wasm plugins is replaced.
    MergeType {
        /// Kubernetes strategic merge patch.
        StrategicMerge "StrategicMerge"
        /// JSON merge patch (RFC 7396).
        JsonMerge "JSONMerge"
    }
}

/// The kinds that a policy with plugins can be attached to.
const KINDS: [&str; 4] = ["Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute"];

/// The kinds that a policy can be attached to without effect on plugins: plugins are HTTP filters, which these routes do
/// not have.
const CONNECTION_KINDS: [&str; 3] = ["TCPRoute", "TLSRoute", "UDPRoute"];

/// An error returned when a manifest cannot be generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The policy has no targets.
    #[error(
        "an EnvoyExtensionPolicy requires a target: a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    NoTarget,
    /// Envoy Gateway does not support a target's kind.
    #[error(
        "Envoy Gateway cannot attach a plugin to `{0}`: use a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    Target(TargetRef),
    /// A target is a route for connections, which has no HTTP filters.
    #[error(
        "Envoy Gateway accepts a policy for `{0}`, but runs no Wasm plugin there: use a Gateway, ListenerSet, HTTPRoute or GRPCRoute"
    )]
    Connections(TargetRef),
    /// A merge type was specified, but a target is not a route.
    #[error(
        "the policy for `{0}` cannot be merged, since the API server allows `mergeType` only for routes: omit the merge type, or use an HTTPRoute or GRPCRoute"
    )]
    Merge(TargetRef),
    /// The module cannot be fetched, because it is a file.
    #[error("Envoy Gateway cannot read files of the proxy: use an `oci://` or `https://` URL")]
    File,
    /// An environment variable was specified twice.
    #[error("the environment variable `{0}` is specified twice")]
    VariableTwice(String),
    /// The manifest cannot be serialized.
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
    /// Returns the manifest as YAML.
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
