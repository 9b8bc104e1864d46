//! The order of plugins that Istio makes of resources: each workload's effective chain, and why it is so.
//!
//! The rules are istiod's, with the places where they are written: which plugins a workload gets
//! (`pilot/pkg/model/policyattachment.go`), how those of one phase are sorted (`sortByPriority` and `sortConfigByCreationTime` in
//! `pilot/pkg/model`), which listeners they match (`matchTrafficExtensionSelectors` in `extensions.go` there), and what of Istio's
//! own stands between the phases (`listener_builder.go`, `listener_waypoint.go` and `networkfilter.go` in
//! `pilot/pkg/networking/core`). This file has the types; `order/read.rs` takes plugins from documents,
//! `order/workloads.rs` workloads, `order/waypoints.rs` which waypoint a service uses, `order/attach.rs` says who gets what,
//! `order/chain.rs` puts it in order.

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
use crate::resource::{Label, Name, TargetRef};
use crate::yaml::{Document, Position};

/// Stands for every namespace that has no plugins of its own.
pub const ANY_OTHER: &str = "*";

/// A file with resources.
#[derive(Debug, Clone)]
pub struct File<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// What it holds.
    pub documents: &'a [Document],
}

/// How a mesh is set up, and who is asked about.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace whose resources are for the whole mesh.
    pub root_namespace: String,
    /// The namespace of resources that do not say theirs.
    pub namespace: String,
    /// Whose chains; those in the files, or without any those that the plugins tell of, if there is none.
    pub workloads: Vec<Workload>,
}

/// A proxy's side of a workload: what decides which plugins it gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// What it is called, such as `Deployment/web`, if it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace, or [`ANY_OTHER`].
    pub namespace: String,
    /// Its pods' labels.
    pub labels: BTreeMap<String, String>,
    /// What its proxy does.
    pub role: Role,
}

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// It stands beside an application.
    Sidecar,
    /// It lets traffic into the mesh or out of it.
    Gateway,
    /// It handles traffic to services in ambient mode.
    Waypoint,
}

/// A plugin as its resource has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plugin {
    id: PluginId,
    created: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    targets: Vec<TargetRef>,
    /// Why no workload gets it, if istiod drops it.
    dropped: Option<String>,
    phase: Option<Phase>,
    priority: Option<i32>,
    matches: Vec<Matching>,
    layer: Layer,
}

/// Kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PluginId {
    /// `WasmPlugin` or `TrafficExtension`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A service that a waypoint may handle requests to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServiceId {
    /// `Service` or `ServiceEntry`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matching {
    mode: Option<MatchMode>,
    ports: Vec<u16>,
}

/// What a chain is a chain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// Requests and responses.
    Http,
    /// Connections that are not HTTP.
    Network,
}

/// All workloads, and what was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The workloads with their chains.
    pub workloads: Vec<Ordered>,
    /// Plugins without effect: they are attached to services that no waypoint handles.
    pub unused: Vec<LeftOut>,
    /// Resources that may change these chains, and whose effect is not told here.
    pub envoy_filters: EnvoyFilters,
}

/// How many EnvoyFilters there are. They can put any filter at any place of a chain, and take any away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EnvoyFilters(pub usize);

/// A workload with its chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ordered {
    /// The workload.
    #[serde(flatten)]
    pub workload: Workload,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// Plugins of its namespace, of the root namespace and of the namespaces of its services that it does not get.
    pub left_out: Vec<LeftOut>,
}

/// One chain of filters, in the order that requests pass it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Of which listeners.
    pub traffic: Traffic,
    /// Of which service, at a waypoint where services have chains of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Of requests or of connections.
    pub layer: Layer,
    /// The filters.
    pub steps: Vec<Step>,
}

/// Some listeners of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Traffic {
    /// What a sidecar receives.
    Inbound,
    /// What a sidecar sends.
    Outbound,
    /// What a gateway handles.
    Gateway,
    /// What a waypoint handles.
    Waypoint,
}

/// A filter of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub enum Step {
    /// One of Istio's or Envoy's own.
    Istio {
        /// Its name.
        filter: &'static str,
        /// When it is there and what it does.
        what: &'static str,
    },
    /// A plugin.
    #[serde(rename_all = "camelCase")]
    Plugin {
        /// Which.
        #[serde(flatten)]
        id: PluginId,
        /// Its phase; none comes after all others.
        phase: Option<Phase>,
        /// Its priority.
        priority: Option<i32>,
        /// The ports to which it is confined; all if there is none.
        ports: Vec<u16>,
        /// Why it is there, and why after the plugin before it.
        why: String,
    },
}

/// A plugin that a workload does not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Which.
    #[serde(flatten)]
    pub id: PluginId,
    /// Why.
    pub why: String,
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// A resource that Istio would not take.
    #[error("{file}:{position}: {what}")]
    Resource {
        /// The file.
        file: String,
        /// The place in it.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// One resource twice.
    #[error("{file}:{position}: {id} is defined twice")]
    Twice {
        /// The file.
        file: String,
        /// The place in it.
        position: Position,
        /// What is there twice.
        id: PluginId,
    },
    /// Nothing to order.
    #[error("found no WasmPlugin and no TrafficExtension in {0}")]
    NoPlugins(String),
    /// Only what is not looked at.
    #[error("found no WasmPlugin and no TrafficExtension in {files}, and {envoy_filters}")]
    OnlyEnvoyFilters {
        /// The files.
        files: String,
        /// How many.
        envoy_filters: EnvoyFilters,
    },
}

/// Not a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a workload: expected `NAMESPACE/KEY=VALUE,KEY=VALUE`, such as `shop/app=web`, or `NAMESPACE`"
)]
pub struct WorkloadError(String);

/// The chains of each workload.
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

/// The label by which Istio knows the pods of a `Gateway` of the Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The label by which istiod knows its own of them, and those that are waypoints by its value.
const MANAGED: &str = "gateway.istio.io/managed";
const MANAGED_GATEWAY: &str = "istio.io-gateway-controller";
const MANAGED_WAYPOINT: &str = "istio.io-mesh-controller";

/// The label that says what a waypoint handles: `service`, as without it, `workload`, `all` or `none`.
const WAYPOINT_FOR: &str = "istio.io/waypoint-for";

impl Workload {
    /// A workload whose role is told from its labels: those of gateways and waypoints are Istio's own.
    pub fn new(namespace: impl Into<String>, labels: BTreeMap<String, String>) -> Self {
        let has = |key: &str| labels.get(key).map(String::as_str);
        let role = match (has(GATEWAY_NAME), has("istio")) {
            (Some(_), _) if has(MANAGED) == Some(MANAGED_WAYPOINT) => Role::Waypoint,
            (Some(_), _) => Role::Gateway,
            // The labels of the gateways in Istio's charts.
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

    /// The pods of a `Gateway` of the Gateway API.
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

    /// The `Gateway` whose pods these are, by namespace and name.
    fn gateway(&self) -> Option<(&str, &str)> {
        Some((&self.namespace, self.gateway_name()?))
    }

    /// What this waypoint handles, if it does not handle services.
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
        // `app=web` alone would be taken for a namespace.
        if namespace.parse::<Name>().is_err() {
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
    /// Whether there is one.
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
    /// A service, if the kind is one of the two.
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

    /// The service that a plugin is attached to: one of the plugin's namespace.
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
