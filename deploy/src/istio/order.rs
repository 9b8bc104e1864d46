//! Computes the order in which Istio runs plugins: the effective filter chain of each workload, with an explanation.
//!
//! The rules are those of istiod, and the code cites the source file of each: which plugins apply to a workload
//! (`pilot/pkg/model/policyattachment.go`), how plugins of the same phase are sorted (`sortByPriority` and
//! `sortConfigByCreationTime` in `pilot/pkg/model`), which listeners they match (`matchTrafficExtensionSelectors` in
//! `extensions.go` in the same directory), and which of Istio's own filters run between the phases (`listener_builder.go`,
//! `listener_waypoint.go` and `networkfilter.go` in `pilot/pkg/networking/core`). This file defines the types.
//! `order/read.rs` reads plugins from documents, `order/workloads.rs` reads workloads, `order/waypoints.rs` determines the
//! waypoint of a service, `order/attach.rs` determines which plugins apply to a workload, and `order/chain.rs` sorts them.

mod attach;
mod chain;
mod read;
mod waypoints;
mod workloads;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::model::{MatchMode, Phase};
use crate::resource::{Label, Namespace, TargetRef};
use crate::yaml::{Document, Location};

/// A placeholder for every namespace that has no plugins of its own.
pub const ANY_OTHER: &str = "*";

/// A file that contains resources.
#[derive(Debug, Clone)]
pub struct File<'a> {
    /// The file's name, for use in messages.
    pub name: &'a str,
    /// The documents in the file.
    pub documents: &'a [Document],
}

/// The configuration of the mesh, and the workloads to compute chains for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The root namespace, whose resources apply to the whole mesh.
    pub root_namespace: String,
    /// The namespace of resources that do not specify one.
    pub namespace: String,
    /// The workloads to compute chains for. If empty, the workloads in the files are used, or workloads derived from the
    /// plugins if the files contain none.
    pub workloads: Vec<Workload>,
}

/// A workload from the point of view of its proxy: the properties that determine which plugins apply to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Workload {
    /// The workload's name, such as `Deployment/web`, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The workload's namespace, or [`ANY_OTHER`].
    pub namespace: String,
    /// The labels of the workload's pods.
    pub labels: BTreeMap<String, String>,
    /// The role of the workload's proxy.
    pub role: Role,
}

/// The role of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A sidecar of an application.
    Sidecar,
    /// A gateway for traffic that enters or leaves the mesh.
    Gateway,
    /// A waypoint, which handles traffic to services in ambient mode.
    Waypoint,
}

/// A plugin as specified by its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plugin {
    id: PluginId,
    created: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    targets: Vec<TargetRef>,
    /// The reason why istiod drops the plugin for all workloads, if it does.
    dropped: Option<String>,
    phase: Option<Phase>,
    priority: Option<i32>,
    matches: Vec<Matching>,
    layer: Layer,
}

/// Identifies a plugin by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PluginId {
    /// `WasmPlugin` or `TrafficExtension`.
    pub kind: &'static str,
    /// The plugin's namespace.
    pub namespace: String,
    /// The plugin's name.
    pub name: String,
}

/// A service that a waypoint may handle requests to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServiceId {
    /// `Service` or `ServiceEntry`.
    pub kind: &'static str,
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matching {
    mode: Option<MatchMode>,
    ports: Vec<u16>,
}

/// The protocol layer of a filter chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A chain of HTTP filters, which process requests and responses.
    Http,
    /// A chain of network filters, for connections that are not HTTP.
    Network,
}

/// The chains of all workloads, and the resources that were not taken into account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The workloads with their chains.
    pub workloads: Vec<Ordered>,
    /// Plugins without effect, because they are attached to services that no waypoint handles.
    pub unused: Vec<LeftOut>,
    /// The number of EnvoyFilter resources. They may change these chains, and their effect is not included.
    pub envoy_filters: EnvoyFilters,
}

/// The number of EnvoyFilter resources. An EnvoyFilter can insert any filter at any position in a chain, and can remove any
/// filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EnvoyFilters(pub usize);

/// A workload with its chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ordered {
    /// The workload.
    #[serde(flatten)]
    pub workload: Workload,
    /// The workload's chains.
    pub chains: Vec<Chain>,
    /// The plugins in the workload's namespace, the root namespace and the namespaces of its services that do not apply to
    /// the workload.
    pub left_out: Vec<LeftOut>,
}

/// A filter chain, in the order in which requests pass through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chain {
    /// The listeners that use the chain.
    pub traffic: Traffic,
    /// The service that the chain is for, at waypoints where each service has a separate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The protocol layer of the chain.
    pub layer: Layer,
    /// The filters in the chain.
    pub steps: Vec<Step>,
}

/// The listeners that a chain applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Inbound listeners of a sidecar.
    Inbound,
    /// Outbound listeners of a sidecar.
    Outbound,
    /// Listeners of a gateway.
    Gateway,
    /// Listeners of a waypoint.
    Waypoint,
}

/// A filter in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Step {
    /// A filter that is part of Istio or Envoy.
    Istio {
        /// The filter's name.
        filter: &'static str,
        /// When the filter is present, and what it does.
        what: &'static str,
    },
    /// A plugin.
    #[serde(rename_all = "kebab-case")]
    Plugin {
        /// The plugin's identity.
        #[serde(flatten)]
        id: PluginId,
        /// The plugin's phase. Plugins without a phase come after all others.
        phase: Option<Phase>,
        /// The plugin's priority.
        priority: Option<i32>,
        /// The ports that the plugin is restricted to. Empty means all ports.
        ports: Vec<u16>,
        /// Why the plugin applies to the workload, and why it comes after the preceding plugin.
        why: String,
    },
}

/// A plugin that does not apply to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The plugin's identity.
    #[serde(flatten)]
    pub id: PluginId,
    /// The reason.
    pub why: String,
}

/// An error returned when the order cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// Istio would reject a resource.
    #[error("{location}: {what}")]
    Resource {
        /// The location in the file.
        location: Location,
        /// A description of the problem.
        what: String,
    },
    /// A resource is defined twice.
    #[error("{location}: {id} is defined twice")]
    Twice {
        /// The location in the file.
        location: Location,
        /// The identity of the duplicate resource.
        id: PluginId,
    },
    /// The files contain no plugins.
    #[error("found no WasmPlugin and no TrafficExtension in {0}")]
    NoPlugins(String),
    /// The files contain only EnvoyFilter resources, which are not taken into account.
    #[error("found no WasmPlugin and no TrafficExtension in {files}, and {envoy_filters}")]
    OnlyEnvoyFilters {
        /// The names of the files.
        files: String,
        /// The number of EnvoyFilter resources.
        envoy_filters: EnvoyFilters,
    },
}

/// The text is not a valid workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a workload: expected `NAMESPACE/KEY=VALUE,KEY=VALUE`, such as `shop/app=web`, or `NAMESPACE`"
)]
pub struct WorkloadError(String);

/// Computes the filter chains of each workload.
pub fn order(files: &[File<'_>], options: &Options) -> Result<Answer, OrderError> {
    let read = read::read(files, options)?;
    if read.plugins.is_empty() {
        let files: Vec<_> = files.iter().map(|file| file.name).collect();
        let (files, envoy_filters) = (files.join(", "), read.envoy_filters);
        return Err(match envoy_filters.any() {
            true => OrderError::OnlyEnvoyFilters {
                files,
                envoy_filters,
            },
            false => OrderError::NoPlugins(files),
        });
    }
    let plugins = chain::sorted(read.plugins);
    let mut workloads = if options.workloads.is_empty() {
        read.workloads
    } else {
        options.workloads.clone()
    };
    if workloads.is_empty() {
        workloads = attach::workloads(&plugins, &options.root_namespace, &read.waypoints);
    }
    let workloads: Vec<_> = workloads
        .into_iter()
        .map(|workload| {
            chain::ordered(workload, &plugins, &options.root_namespace, &read.waypoints)
        })
        .collect();
    Ok(Answer {
        unused: read.waypoints.unused(&plugins, &workloads),
        workloads,
        envoy_filters: read.envoy_filters,
    })
}

// === impl Workload ===

/// The label by which Istio identifies the pods of a Gateway API `Gateway`.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The label by which istiod identifies the gateways that it manages. Its value identifies waypoints.
const MANAGED: &str = "gateway.istio.io/managed";
const MANAGED_GATEWAY: &str = "istio.io-gateway-controller";
const MANAGED_WAYPOINT: &str = "istio.io-mesh-controller";

/// The label that specifies what a waypoint handles: `service` (the default), `workload`, `all` or `none`.
const WAYPOINT_FOR: &str = "istio.io/waypoint-for";

impl Workload {
    /// Creates a workload. Its role is derived from the labels that Istio sets on gateways and waypoints.
    pub fn new(namespace: impl Into<String>, labels: BTreeMap<String, String>) -> Self {
        let has = |key: &str| labels.get(key).map(String::as_str);
        let role = match (has(GATEWAY_NAME), has("istio")) {
            (Some(_), _) if has(MANAGED) == Some(MANAGED_WAYPOINT) => Role::Waypoint,
            (Some(_), _) => Role::Gateway,
            // The labels of the gateways in Istio's Helm charts.
            (None, Some(value)) if value.ends_with("gateway") => Role::Gateway,
            _ => Role::Sidecar,
        };
        Self {
            name: None,
            namespace: namespace.into(),
            labels,
            role,
        }
    }

    /// Creates the workload for the pods of a Gateway API `Gateway`.
    fn of_gateway(namespace: &str, name: &str, role: Role) -> Self {
        let managed = match role {
            Role::Waypoint => MANAGED_WAYPOINT,
            Role::Gateway | Role::Sidecar => MANAGED_GATEWAY,
        };
        let labels = BTreeMap::from([
            (GATEWAY_NAME.to_owned(), name.to_owned()),
            (MANAGED.to_owned(), managed.to_owned()),
        ]);
        Self {
            name: Some(format!("Gateway/{name}")),
            ..Self::new(namespace, labels)
        }
    }

    fn gateway_name(&self) -> Option<&str> {
        self.labels.get(GATEWAY_NAME).map(String::as_str)
    }

    /// Returns the namespace and name of the `Gateway` that these pods belong to.
    fn gateway(&self) -> Option<(&str, &str)> {
        Some((&self.namespace, self.gateway_name()?))
    }

    /// Returns what this waypoint handles, if it does not handle services.
    fn handles_no_services(&self) -> Option<&str> {
        let handles = self.labels.get(WAYPOINT_FOR)?.as_str();
        (self.role == Role::Waypoint && !matches!(handles, "service" | "all")).then_some(handles)
    }
}

impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let not_one = || WorkloadError(text.to_owned());
        let (namespace, labels) = text.split_once('/').unwrap_or((text, ""));
        // Without this check, `app=web` would be parsed as a namespace.
        if namespace.parse::<Namespace>().is_err() {
            return Err(not_one());
        }
        let labels = labels
            .split(',')
            .filter(|label| !label.is_empty())
            .map(|label| {
                let label: Label = label.parse().map_err(|_| not_one())?;
                Ok((label.key, label.value))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(namespace, labels))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Sidecar => "workload",
            Role::Gateway => "gateway",
            Role::Waypoint => "waypoint",
        };
        let place = match &*self.namespace {
            ANY_OTHER => "in any other namespace".to_owned(),
            namespace => format!("in {namespace}"),
        };
        if let Some(name) = &self.name {
            return write!(f, "{role} {name} {place}");
        }
        if self.labels.is_empty() {
            return write!(f, "any other {role} {place}");
        }
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        write!(f, "{role} {} {place}", labels.join(","))
    }
}

// === impl EnvoyFilters ===

impl EnvoyFilters {
    /// Returns whether there are any EnvoyFilter resources.
    pub fn any(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for EnvoyFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 EnvoyFilter is ignored"),
            count => write!(f, "{count} EnvoyFilters are ignored"),
        }
    }
}

// === impl PluginId ===

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

// === impl ServiceId ===

impl ServiceId {
    /// Creates a service ID, if the kind is `Service` or `ServiceEntry`.
    fn new(group: &str, kind: &str, namespace: String, name: String) -> Option<Self> {
        let kind = match (group, kind) {
            ("", "Service") => "Service",
            ("networking.istio.io", "ServiceEntry") => "ServiceEntry",
            _ => return None,
        };
        Some(Self {
            kind,
            namespace,
            name,
        })
    }

    /// Returns the service that a plugin is attached to, which is in the plugin's namespace.
    fn of(plugin: &Plugin, target: &TargetRef) -> Option<Self> {
        let (namespace, name) = (plugin.id.namespace.clone(), target.name.clone());
        Self::new(&target.group, &target.kind, namespace, name)
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} in {}", self.kind, self.name, self.namespace)
    }
}
