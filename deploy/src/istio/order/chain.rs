//! Sorts the plugins that apply to a workload into a chain, together with Istio's own filters.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::iter;

use super::attach::{Place, attached, matched, rank};
use super::waypoints::Waypoints;
use super::{Chain, Layer, LeftOut, Ordered, Plugin, Role, ServiceId, Step, Traffic, Workload};
use crate::istio::model::{Phase, Word as _};

/// An element of a chain. A phase is the position at which the plugins of that phase are inserted.
enum Part {
    Own(&'static str, &'static str),
    Phase(Option<Phase>),
}

use Part::Own;

const AUTHN: Part = Part::Phase(Some(Phase::Authn));
const AUTHZ: Part = Part::Phase(Some(Phase::Authz));
const STATS: Part = Part::Phase(Some(Phase::Stats));
const UNSPECIFIED: Part = Part::Phase(None);

const CUSTOM: Part = Own(
    "envoy.filters.http.ext_authz",
    "AuthorizationPolicies with action CUSTOM, if any",
);
const JWT: Part = Own(
    "envoy.filters.http.jwt_authn",
    "RequestAuthentications, if any",
);
const RBAC: Part = Own("envoy.filters.http.rbac", "AuthorizationPolicies, if any");
const METADATA: Part = Own("istio.metadata_exchange", "identifies the peer");
const GRPC: Part = Own("envoy.filters.http.grpc_stats", "gRPC statistics");
const ALPN: Part = Own("istio.alpn", "selects the upstream protocol");
const FAULT: Part = Own(
    "envoy.filters.http.fault",
    "fault injection of VirtualServices",
);
const CORS: Part = Own(
    "envoy.filters.http.cors",
    "CORS policies of VirtualServices",
);
const TELEMETRY: Part = Own("istio.stats", "Istio's metrics");
const ROUTER: Part = Own("envoy.filters.http.router", "forwards the request");

/// Inbound requests of a sidecar: `buildHTTPConnectionManager` in `listener_builder.go`, as for the next two chains.
const INBOUND: &[Part] = &[
    METADATA,
    CUSTOM,
    AUTHN,
    JWT,
    AUTHZ,
    RBAC,
    STATS,
    UNSPECIFIED,
    GRPC,
    FAULT,
    CORS,
    TELEMETRY,
    ROUTER,
];

/// Outbound requests of a sidecar, for which Istio performs neither authentication nor authorization.
const OUTBOUND: &[Part] = &[
    METADATA,
    AUTHN,
    AUTHZ,
    STATS,
    UNSPECIFIED,
    GRPC,
    ALPN,
    FAULT,
    CORS,
    TELEMETRY,
    ROUTER,
];

/// Requests at a gateway.
const GATEWAY: &[Part] = &[
    METADATA,
    CUSTOM,
    AUTHN,
    JWT,
    AUTHZ,
    RBAC,
    STATS,
    UNSPECIFIED,
    GRPC,
    ALPN,
    FAULT,
    CORS,
    TELEMETRY,
    ROUTER,
];

/// Requests at a waypoint: `buildWaypointInboundHTTPFilters` in `listener_waypoint.go`.
const WAYPOINT: &[Part] = &[
    CUSTOM,
    AUTHN,
    JWT,
    AUTHZ,
    RBAC,
    GRPC,
    FAULT,
    CORS,
    STATS,
    UNSPECIFIED,
    Own("waypoint_upstream_peer_metadata", "identifies the peer"),
    TELEMETRY,
    ROUTER,
];

/// Network plugins on connections that carry HTTP: `listener_inbound.go`, `listener.go` and `gateway.go`.
const BEFORE_HTTP: &[Part] = &[AUTHN, AUTHZ, STATS, UNSPECIFIED, MANAGER];

/// The same for inbound connections of a sidecar.
const BEFORE_HTTP_INBOUND: &[Part] = &[METADATA, AUTHN, AUTHZ, STATS, UNSPECIFIED, MANAGER];

const MANAGER: Part = Own(
    "envoy.filters.network.http_connection_manager",
    "starts HTTP processing",
);

const TCP_CUSTOM: Part = Own(
    "envoy.filters.network.ext_authz",
    "AuthorizationPolicies with action CUSTOM, if any",
);
const TCP_RBAC: Part = Own(
    "envoy.filters.network.rbac",
    "AuthorizationPolicies, if any",
);
const TCP_PROXY: Part = Own("envoy.filters.network.tcp_proxy", "forwards the bytes");

/// Connections that do not carry HTTP, inbound or at a waypoint: `buildCompleteNetworkFilters` in `networkfilter.go`, as
/// for the next two chains.
const TCP_INBOUND: &[Part] = &[
    METADATA,
    TCP_CUSTOM,
    AUTHN,
    AUTHZ,
    TCP_RBAC,
    STATS,
    UNSPECIFIED,
    TELEMETRY,
    TCP_PROXY,
];

/// Outbound connections of a sidecar that do not carry HTTP.
const TCP_OUTBOUND: &[Part] = &[AUTHN, AUTHZ, STATS, UNSPECIFIED, TELEMETRY, TCP_PROXY];

/// Connections through a gateway that do not carry HTTP.
const TCP_GATEWAY: &[Part] = &[
    TCP_CUSTOM,
    AUTHN,
    AUTHZ,
    TCP_RBAC,
    STATS,
    UNSPECIFIED,
    TELEMETRY,
    TCP_PROXY,
];

/// Sorts the plugins in the order in which istiod processes them, oldest first. Files contain creation times only if they
/// were exported from a cluster. If the time of any plugin is missing, all plugins are sorted by name, as are plugins that
/// were created in the same second.
pub(super) fn sorted(mut plugins: Vec<Plugin>) -> Vec<Plugin> {
    let has_ages = plugins.iter().all(|plugin| plugin.created.is_some());
    if !has_ages {
        for plugin in &mut plugins {
            plugin.created = None;
        }
    }
    plugins.sort_by(|a, b| age(a, b).then_with(|| by_name(a, b)));
    plugins
}

/// Kubernetes writes times in UTC with a resolution of one second, so that comparing the text compares the times.
fn age(a: &Plugin, b: &Plugin) -> Ordering {
    a.created.cmp(&b.created)
}

/// Compares plugins by name, as istiod does after it has converted WasmPlugins to TrafficExtensions.
fn by_name(a: &Plugin, b: &Plugin) -> Ordering {
    let name = |plugin: &Plugin| match plugin.id.kind {
        "WasmPlugin" => format!("{}~istio-translated-wasmplugin", plugin.id.name),
        _ => plugin.id.name.clone(),
    };
    (name(a), &a.id.namespace).cmp(&(name(b), &b.id.namespace))
}

/// Computes the chains of a workload.
pub(super) fn ordered(
    workload: Workload,
    plugins: &[Plugin],
    root: &str,
    waypoints: &Waypoints,
) -> Ordered {
    let place = Place {
        workload: &workload,
        root,
        waypoints,
        service: None,
    };
    let traffics: &[Traffic] = match workload.role {
        Role::Sidecar => &[Traffic::Inbound, Traffic::Outbound],
        Role::Gateway => &[Traffic::Gateway],
        Role::Waypoint => &[Traffic::Waypoint],
    };
    // At a waypoint, services that plugins are attached to have separate chains.
    let mut own = BTreeSet::new();
    if workload.role == Role::Waypoint {
        for plugin in plugins.iter().filter(|plugin| plugin.dropped.is_none()) {
            let targets = plugin.targets.iter();
            let services = targets.filter_map(|target| ServiceId::of(plugin, target));
            own.extend(services.filter(|service| waypoints.handles(&workload, service).is_ok()));
        }
    }
    let services: Vec<_> = iter::once(None).chain(own.iter().map(Some)).collect();
    let mut chains = Vec::new();
    for traffic in traffics {
        for service in &services {
            let place = Place {
                service: *service,
                ..place
            };
            chains.extend(chain(place, *traffic, Layer::Http, plugins));
            if plugins.iter().any(|plugin| plugin.layer == Layer::Network) {
                chains.extend(chain(place, *traffic, Layer::Network, plugins));
            }
        }
    }
    let left_out = left_out(place, &services, plugins, &chains, traffics);
    Ordered {
        workload,
        chains,
        left_out,
    }
}

/// Computes one chain. Returns `None` for connections without plugins.
fn chain(place: Place<'_>, traffic: Traffic, layer: Layer, plugins: &[Plugin]) -> Option<Chain> {
    // A waypoint has no network plugins before its HTTP filters.
    let (connections, requests, other) = match traffic {
        Traffic::Inbound => (Some(BEFORE_HTTP_INBOUND), INBOUND, TCP_INBOUND),
        Traffic::Outbound => (Some(BEFORE_HTTP), OUTBOUND, TCP_OUTBOUND),
        Traffic::Gateway => (Some(BEFORE_HTTP), GATEWAY, TCP_GATEWAY),
        Traffic::Waypoint => (None, WAYPOINT, TCP_INBOUND),
    };
    let assembled = |parts, layer| assembled(parts, place, traffic, layer, plugins);
    let steps = match layer {
        Layer::Http => {
            let mut steps = connections
                .map(|parts| assembled(parts, Layer::Network))
                .filter(|steps| steps.iter().any(is_plugin))
                .unwrap_or_default();
            steps.extend(assembled(requests, Layer::Http));
            steps
        }
        Layer::Network => {
            let steps = assembled(other, Layer::Network);
            if !steps.iter().any(is_plugin) {
                return None;
            }
            steps
        }
    };
    Some(Chain {
        traffic,
        service: place.service.cloned(),
        layer,
        steps,
    })
}

fn is_plugin(step: &Step) -> bool {
    matches!(step, Step::Plugin { .. })
}

fn assembled(
    parts: &[Part],
    place: Place<'_>,
    traffic: Traffic,
    layer: Layer,
    plugins: &[Plugin],
) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in parts {
        match part {
            Own(filter, what) => steps.push(Step::Istio { filter, what }),
            Part::Phase(phase) => steps.extend(of_phase(*phase, place, traffic, layer, plugins)),
        }
    }
    steps
}

fn of_phase(
    phase: Option<Phase>,
    place: Place<'_>,
    traffic: Traffic,
    layer: Layer,
    plugins: &[Plugin],
) -> Vec<Step> {
    let mut found: Vec<(usize, &Plugin, String, Vec<u16>)> = plugins
        .iter()
        .filter(|plugin| plugin.phase == phase && plugin.layer == layer)
        .filter_map(|plugin| {
            let rank = rank(plugin, place)?;
            let why = attached(plugin, place).ok()?;
            let ports = matched(plugin, traffic, layer).ok()?;
            Some((rank, plugin, why, ports))
        })
        .collect();
    // Both sorts are stable, as in istiod.
    found.sort_by_key(|(rank, ..)| *rank);
    found.sort_by_key(|(_, plugin, ..)| Reverse(number(plugin)));
    let mut before: Option<(usize, &Plugin)> = None;
    let mut steps = Vec::with_capacity(found.len());
    for (rank, plugin, mut why, ports) in found {
        if let Some((rank_before, other)) = before {
            why.push_str("; ");
            why.push_str(&reason(other, rank_before, plugin, rank));
        }
        before = Some((rank, plugin));
        steps.push(Step::Plugin {
            id: plugin.id.clone(),
            phase,
            priority: plugin.priority,
            ports,
            why,
        });
    }
    steps
}

/// The number that istiod sorts by. A missing priority is not equivalent to zero.
fn number(plugin: &Plugin) -> i32 {
    plugin.priority.unwrap_or(i32::MIN)
}

/// Explains why a plugin comes after another plugin of the same phase.
fn reason(other: &Plugin, rank_other: usize, plugin: &Plugin, rank: usize) -> String {
    // The message includes the kind and the namespace, because names alone may be equal.
    let name = &other.id;
    if number(other) != number(plugin) {
        return match (other.priority, plugin.priority) {
            (Some(higher), Some(lower)) => {
                format!("after {name}: {lower} is lower than {higher}")
            }
            _ => format!("after {name}: a plugin without a priority runs after those with one"),
        };
    }
    let equal = match plugin.priority {
        Some(priority) => format!("both have priority {priority}"),
        None => "neither has a priority".to_owned(),
    };
    if rank_other != rank {
        let whose = match rank_other {
            0 => "workload's",
            _ => "root",
        };
        return format!("after {name}: {equal}, and plugins of the {whose} namespace run first");
    }
    match (&other.created, &plugin.created) {
        (Some(older), Some(newer)) if older < newer => {
            format!("after {name}: {equal}, and the older runs first")
        }
        (Some(_), Some(_)) => {
            format!(
                "after {name}: {equal}, both were created in the same second, so they are ordered by name"
            )
        }
        _ => format!(
            "after {name}: {equal}, and the older runs first; the files contain no creation times, so they are ordered by name"
        ),
    }
}

/// Returns the plugins that a workload considers but that are in none of its chains.
fn left_out(
    place: Place<'_>,
    services: &[Option<&ServiceId>],
    plugins: &[Plugin],
    chains: &[Chain],
    traffics: &[Traffic],
) -> Vec<LeftOut> {
    let is_in = |plugin: &Plugin| {
        let mut steps = chains.iter().flat_map(|chain| &chain.steps);
        steps.any(|step| matches!(step, Step::Plugin { id, .. } if *id == plugin.id))
    };
    let mut left_out = Vec::new();
    for plugin in plugins {
        let is_looked_at = services.iter().any(|service| {
            let service = *service;
            rank(plugin, Place { service, ..place }).is_some()
        });
        if !is_looked_at || is_in(plugin) {
            continue;
        }
        let attached: Vec<_> = services
            .iter()
            .map(|service| {
                let service = *service;
                attached(plugin, Place { service, ..place })
            })
            .collect();
        let reasons: BTreeSet<String> = if attached.iter().any(Result::is_ok) {
            let unmatched = traffics
                .iter()
                .filter_map(|traffic| matched(plugin, *traffic, plugin.layer).err());
            unmatched.collect()
        } else {
            attached.into_iter().filter_map(Result::err).collect()
        };
        left_out.extend(reasons.into_iter().map(|why| LeftOut {
            id: plugin.id.clone(),
            why,
        }));
    }
    left_out
}

// === impl Step ===

impl Step {
    /// Returns the phase of a plugin, as Istio writes it.
    pub fn phase(&self) -> Option<&'static str> {
        match self {
            Self::Istio { .. } => None,
            Self::Plugin { phase, .. } => Some(phase.map_or("UNSPECIFIED", Phase::word)),
        }
    }
}
