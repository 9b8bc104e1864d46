//! Determines which plugins apply to a workload, by namespace, label selector or target reference, and on which listeners.
//!
//! Reimplements istiod's `WorkloadPolicyMatcher.ShouldAttachPolicy` and `matchTrafficExtensionSelectors`, and adds the
//! reason to each result.

use std::collections::{BTreeMap, BTreeSet};

use super::waypoints::Waypoints;
use super::{ANY_OTHER, Layer, Plugin, Role, ServiceId, Traffic, Workload};
use crate::istio::model::MatchMode;

/// The proxy, and possibly the service, that a chain belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub workload: &'a Workload,
    pub root: &'a str,
    pub waypoints: &'a Waypoints,
    /// The service that a waypoint's chain is for.
    pub service: Option<&'a ServiceId>,
}

/// Returns the rank of the namespace in which a workload finds this plugin, or `None` if the workload does not consider it.
/// The workload's own namespace comes first, then the root namespace, then the namespace of the service.
pub(super) fn rank(plugin: &Plugin, place: Place<'_>) -> Option<usize> {
    let service = place.service.map(|service| service.namespace.as_str());
    [
        Some(place.workload.namespace.as_str()),
        Some(place.root),
        service,
    ]
    .iter()
    .position(|namespace| *namespace == Some(plugin.id.namespace.as_str()))
}

/// Returns why a plugin applies to a workload, or why it does not.
pub(super) fn attached(plugin: &Plugin, place: Place<'_>) -> Result<String, String> {
    if let Some(why) = &plugin.dropped {
        return Err(why.clone());
    }
    let workload = place.workload;
    let Some(gateway) = workload.gateway_name() else {
        if !plugin.targets.is_empty() {
            return Err(
                "it has targetRefs, which apply only to gateways and waypoints of the Gateway API"
                    .into(),
            );
        }
        return selected(plugin, place);
    };
    if plugin.targets.is_empty() {
        if workload.role == Role::Waypoint {
            return Err("it has no targetRefs, which a waypoint requires".into());
        }
        return selected(plugin, place);
    }
    let is_waypoint = workload.role == Role::Waypoint;
    for target in &plugin.targets {
        let why = Ok(format!("targetRef {target}"));
        if is_waypoint
            && let Some(service) = place.service
            && ServiceId::of(plugin, target).as_ref() == Some(service)
        {
            return why;
        }
        match (target.group.as_str(), target.kind.as_str()) {
            ("gateway.networking.k8s.io", "GatewayClass")
                if is_waypoint
                    && plugin.id.namespace == place.root
                    && target.name == "istio-waypoint" =>
            {
                return why;
            }
            ("gateway.networking.k8s.io", "Gateway")
                if plugin.id.namespace == workload.namespace && target.name == gateway =>
            {
                return why;
            }
            _ => {}
        }
    }
    let targets = plugin.targets.iter().map(|target| {
        let named = format!("{target} in {}", plugin.id.namespace);
        let service = ServiceId::of(plugin, target).filter(|_| is_waypoint);
        let why = service.and_then(|service| place.waypoints.handles(workload, &service).err());
        match why {
            Some(why) => format!("{named}, {why}"),
            None => named,
        }
    });
    let targets: Vec<_> = targets.collect();
    Err(format!("it is attached to {}", targets.join("; ")))
}

fn selected(plugin: &Plugin, place: Place<'_>) -> Result<String, String> {
    let whole = match plugin.id.namespace == place.root {
        true => "for the whole mesh",
        false => "for the whole namespace",
    };
    let Some(labels) = plugin.selector.as_ref().filter(|labels| !labels.is_empty()) else {
        return Ok(whole.to_owned());
    };
    let missing = labels
        .iter()
        .find(|(key, value)| place.workload.labels.get(*key) != Some(*value));
    match missing {
        None => Ok(format!("selector {}", listed(labels))),
        Some((key, value)) => Err(format!("its selector requires {key}={value}")),
    }
}

fn listed(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

/// Returns the ports that a plugin applies to (empty means all ports), or why it applies to none of these listeners.
pub(super) fn matched(plugin: &Plugin, traffic: Traffic, layer: Layer) -> Result<Vec<u16>, String> {
    if plugin.matches.is_empty() {
        return Ok(Vec::new());
    }
    let mode = match traffic {
        Traffic::Outbound | Traffic::Gateway => MatchMode::Client,
        Traffic::Inbound | Traffic::Waypoint => MatchMode::Server,
    };
    let fitting: Vec<_> = plugin
        .matches
        .iter()
        .filter(|it| {
            it.mode
                .is_none_or(|wanted| wanted == MatchMode::ClientAndServer || wanted == mode)
        })
        .collect();
    if fitting.is_empty() {
        let is = match traffic {
            Traffic::Inbound => "inbound traffic is SERVER",
            Traffic::Outbound => "outbound traffic is CLIENT",
            Traffic::Gateway => "a gateway's traffic is CLIENT",
            Traffic::Waypoint => "a waypoint's traffic is SERVER",
        };
        return Err(format!("its match has another mode: {is}"));
    }
    if fitting.iter().any(|it| it.ports.is_empty()) {
        return Ok(Vec::new());
    }
    let named = fitting.iter().flat_map(|it| it.ports.iter().copied());
    let ports: BTreeSet<u16> = named.filter(|port| *port != 0).collect();
    if ports.is_empty() {
        return Err(
            "its match contains only port 0, which is not valid; see `tidegate check`".into(),
        );
    }
    if traffic == Traffic::Waypoint && layer == Layer::Http {
        return Err("its match contains ports, and requests in a waypoint have none".into());
    }
    Ok(ports.into_iter().collect())
}

/// Returns the workloads derived from the plugins: for each namespace, one with the labels of each selector, one for each
/// target reference, and one without labels.
pub(super) fn workloads(plugins: &[Plugin], root: &str, waypoints: &Waypoints) -> Vec<Workload> {
    let mut workloads = BTreeSet::new();
    let mut namespaces = BTreeSet::from([ANY_OTHER]);
    namespaces.extend(plugins.iter().map(|it| it.id.namespace.as_str()));
    // The same plugins apply to workloads in the root namespace as to those in any other namespace.
    namespaces.remove(root);
    if plugins.iter().all(|plugin| plugin.id.namespace != root) {
        namespaces.remove(ANY_OTHER);
    }
    for plugin in plugins {
        let own = plugin.id.namespace.as_str();
        for target in &plugin.targets {
            match (ServiceId::of(plugin, target), target.kind.as_str()) {
                (Some(service), _) => {
                    if let Ok(used) = waypoints.of(&service) {
                        let (namespace, name) = used.unwrap_or((own, "waypoint"));
                        workloads.insert(Workload::of_gateway(namespace, name, Role::Waypoint));
                    }
                }
                (None, "Gateway") => {
                    workloads.insert(Workload::of_gateway(own, &target.name, Role::Gateway));
                }
                (None, "GatewayClass") => {
                    workloads.insert(Workload::of_gateway(ANY_OTHER, "waypoint", Role::Waypoint));
                }
                _ => {}
            }
        }
        if !plugin.targets.is_empty() {
            continue;
        }
        for namespace in &namespaces {
            if own == root || own == *namespace {
                let labels = plugin.selector.clone().unwrap_or_default();
                workloads.insert(Workload::new(*namespace, labels));
                workloads.insert(Workload::new(*namespace, BTreeMap::new()));
            }
        }
    }
    let mut workloads: Vec<_> = workloads.into_iter().collect();
    // Named namespaces come before "any other".
    workloads.sort_by_key(|it| {
        let is_rest = it.name.is_none() && it.labels.is_empty();
        (it.namespace == ANY_OTHER, it.namespace.clone(), is_rest)
    });
    workloads
}
