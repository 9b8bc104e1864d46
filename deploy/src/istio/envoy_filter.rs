//! Generates `EnvoyFilter` manifests, which support what Istio's own plugin kinds do not: least privilege, and
//! configurations that are not converted to a Protobuf `Struct`, which rounds numbers.
//!
//! A manifest consists of two patches. The first inserts a filter that obtains its configuration by extension config
//! discovery (ECDS); the second provides that configuration. This indirection is required for `oci://`: Istio's agent
//! fetches the modules of all ECDS resources, regardless of their origin (`MaybeConvertWasmExtensionConfig` in istio's
//! `pkg/wasm/convert.go`, called for each ECDS response in `pkg/istio-agent/xds_proxy.go`), but of no other resources. The
//! module of a Wasm filter that is part of the listener is fetched by Envoy, which supports neither images nor the agent's
//! cache. `EXTENSION_CONFIG` patches become ECDS resources in
//! `pilot/pkg/networking/core/envoyfilter/extension_configuration_patch.go`, and the example in istio's
//! `networking/v1alpha3/envoy_filter.proto` has this structure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::manifest::{ManifestError, check_environment, check_targets};
use super::model::{FailStrategy, Variable, Word as _};
use crate::envoy;
use crate::resource::{Metadata, Resource, Scope, TargetRef, yaml};
use crate::source::Source;

/// A plugin that is deployed to a mesh with an `EnvoyFilter`.
#[derive(Debug, Clone)]
pub struct EnvoyFilter {
    /// The name and namespace of the resource.
    pub metadata: Metadata,
    /// The workloads that the plugin applies to.
    pub scope: Scope,
    /// The listeners of these workloads that the plugin applies to.
    pub context: Context,
    /// The location of the module.
    pub source: Source,
    /// The configuration, which is transmitted byte for byte.
    pub configuration: Option<Vec<u8>>,
    /// The plugin to run, if the module contains several.
    pub plugin_name: Option<String>,
    /// How failures are handled.
    pub fail_strategy: FailStrategy,
    /// The environment variables of the plugin.
    pub environment: Vec<Variable>,
    /// The functions that the module may import and the callbacks that may be invoked on it.
    pub capabilities: BTreeSet<String>,
}

super::model::words! {
    /// The listeners that a plugin is inserted into.
    Context {
        /// Inbound listeners of sidecars.
        SidecarInbound "SIDECAR_INBOUND"
        /// Outbound listeners of sidecars.
        SidecarOutbound "SIDECAR_OUTBOUND"
        /// Listeners of gateways.
        Gateway "GATEWAY"
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    workload_selector: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<TargetRef>,
    config_patches: [Value; 2],
}

const COMMENT: &str = "\
The first patch puts a filter before the router, the second is its configuration. They are two because Istio's agent
fetches modules only for filters that get their configuration by discovery (ECDS).";

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

// === impl EnvoyFilter ===

impl EnvoyFilter {
    /// Returns the manifest as YAML.
    pub fn to_yaml(&self) -> Result<String, ManifestError> {
        check_targets(&self.scope)?;
        self.check_context()?;
        check_environment(&self.environment)?;
        let (workload_selector, target_refs) = match &self.scope {
            Scope::Everything => (None, Vec::new()),
            Scope::Selector(labels) => (Some(json!({ "labels": labels })), Vec::new()),
            Scope::Targets(targets) => (None, targets.clone()),
        };
        let resource = Resource {
            api_version: "networking.istio.io/v1alpha3",
            kind: "EnvoyFilter",
            metadata: &self.metadata,
            spec: Spec {
                workload_selector,
                target_refs,
                config_patches: [self.filter(), self.extension()],
            },
        };
        Ok(yaml(COMMENT, &resource)?)
    }

    /// Returns an error for targets whose proxies have no listeners of the context. Waypoints have a context of their own,
    /// for which there is no [`Context`].
    fn check_context(&self) -> Result<(), ManifestError> {
        let Scope::Targets(targets) = &self.scope else {
            return Ok(());
        };
        let misfit = targets
            .iter()
            .find(|it| it.kind != "Gateway" || self.context != Context::Gateway);
        match misfit {
            None => Ok(()),
            Some(target) => Err(ManifestError::Context {
                target: target.clone(),
                context: self.context.word(),
            }),
        }
    }

    /// Returns the name by which the filter refers to its configuration. A proxy sees resources from at most two
    /// namespaces, its own and the root namespace; the namespace in the name distinguishes them.
    fn extension_name(&self) -> String {
        match &self.metadata.namespace {
            Some(namespace) => format!("{namespace}.{}", self.metadata.name),
            None => self.metadata.name.to_string(),
        }
    }

    fn filter(&self) -> Value {
        json!({
            "applyTo": "HTTP_FILTER",
            "match": {
                "context": self.context,
                "listener": { "filterChain": { "filter": {
                    "name": "envoy.filters.network.http_connection_manager",
                    "subFilter": { "name": "envoy.filters.http.router" },
                } } },
            },
            "patch": {
                "operation": "INSERT_BEFORE",
                "value": {
                    "name": self.extension_name(),
                    "config_discovery": {
                        "config_source": {
                            "ads": {},
                            "resource_api_version": "V3",
                            // No traffic passes before the plugin is loaded, as with Istio's own plugin kinds.
                            "initial_fetch_timeout": "0s",
                        },
                        // If a module cannot be fetched, the agent replaces the filter with one that allows or denies all
                        // traffic. Envoy would reject the replacement if its type were not listed here.
                        "type_urls": [WASM, RBAC],
                    },
                },
            },
        })
    }

    fn extension(&self) -> Value {
        json!({
            "applyTo": "EXTENSION_CONFIG",
            "match": { "context": self.context },
            "patch": {
                "operation": "ADD",
                "value": {
                    "name": self.extension_name(),
                    "typed_config": { "@type": WASM, "config": self.plugin() },
                },
            },
        })
    }

    fn plugin(&self) -> Value {
        let policy = match self.fail_strategy {
            FailStrategy::Close => "FAIL_CLOSED",
            FailStrategy::Open => "FAIL_OPEN",
            FailStrategy::Reload => "FAIL_RELOAD",
        };
        let mut config = Map::from_iter([
            ("name".to_owned(), json!(self.extension_name())),
            (
                "root_id".to_owned(),
                json!(self.plugin_name.as_deref().unwrap_or_default()),
            ),
            ("failure_policy".to_owned(), json!(policy)),
            (
                envoy::CAPABILITIES.to_owned(),
                envoy::capabilities(&self.capabilities),
            ),
            ("vm_config".to_owned(), self.vm()),
        ]);
        if let Some(bytes) = &self.configuration {
            config.insert("configuration".to_owned(), envoy::any_bytes(bytes));
        }
        Value::Object(config)
    }

    fn vm(&self) -> Value {
        let code = match &self.source {
            Source::File { path } => json!({ "local": { "filename": path } }),
            remote => json!({ "remote": {
                // The agent fetches this URL. The cluster is required but not used.
                "http_uri": { "uri": remote.url(), "timeout": "30s", "cluster": "_" },
                "sha256": remote.sha256(),
            } }),
        };
        let mut vm = Map::from_iter([
            ("runtime".to_owned(), json!("envoy.wasm.runtime.v8")),
            ("code".to_owned(), code),
        ]);
        if !self.environment.is_empty() {
            let mut inline = Map::new();
            let mut host = Vec::new();
            for variable in &self.environment {
                match &variable.value {
                    Some(value) => {
                        inline.insert(variable.name.clone(), json!(value));
                    }
                    None => host.push(json!(variable.name)),
                }
            }
            let mut variables = Map::new();
            if !inline.is_empty() {
                variables.insert("key_values".to_owned(), Value::Object(inline));
            }
            if !host.is_empty() {
                variables.insert("host_env_keys".to_owned(), Value::Array(host));
            }
            vm.insert("environment_variables".to_owned(), Value::Object(variables));
        }
        Value::Object(vm)
    }
}
