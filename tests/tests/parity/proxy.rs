//! One Envoy with three listeners for each case: one with a filter of Envoy, one with the plugin, and one with neither. All have the
//! upstream of the case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tidegate_components::guests::{self, Shape};
use tidegate_deploy::envoy::{self, Bootstrap, Module, Plugin, Purpose};
use tidegate_testkit::runtimes::envoy::Listeners;
use tidegate_testkit::upstream::Upstream;

use crate::case::{Case, Kind};

/// What a listener has: Envoy's filter, the plugin, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Filter,
    Plugin,
    Neither,
}

/// A running Envoy, and the upstreams of the cases. Dropping it stops all of them.
pub struct Proxy {
    listeners: Listeners,
    upstreams: BTreeMap<String, Upstream>,
    /// The modules, which Envoy reads when it starts.
    _modules: TempDir,
}

// === impl Side ===

impl Side {
    /// All sides.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Plugin, Self::Neither];
}

// === impl Proxy ===

impl Proxy {
    /// Starts Envoy and the upstreams.
    pub fn start(binary: &Path, cases: &[&Case]) -> Result<Self> {
        let modules = tempfile::tempdir().context("failed to create a directory for modules")?;
        let mut upstreams = BTreeMap::new();
        let mut all = Value::Null;
        for case in cases {
            let upstream = Upstream::start(&case.upstream)?;
            for side in Side::ALL {
                let one = bootstrap(case, side, upstream.address(), modules.path())?;
                merge(&mut all, one);
            }
            upstreams.insert(case.name.clone(), upstream);
        }
        Ok(Self {
            listeners: Listeners::start(binary, &all)?,
            upstreams,
            _modules: modules,
        })
    }

    /// Returns the address of a listener.
    pub fn address(&self, case: &Case, side: Side) -> Result<SocketAddr> {
        self.listeners.address(&listener_name(case, side))
    }

    /// Returns the upstream of a case.
    pub fn upstream(&self, case: &Case) -> Result<&Upstream> {
        let upstream = self.upstreams.get(&case.name);
        upstream.with_context(|| format!("{} has no upstream", case.name))
    }
}

fn listener_name(case: &Case, side: Side) -> String {
    match side {
        Side::Filter => format!("{}/filter", case.name),
        Side::Plugin => format!("{}/plugin", case.name),
        Side::Neither => format!("{}/neither", case.name),
    }
}

/// Returns a bootstrap with the listener of one side of a case, and with its cluster.
fn bootstrap(case: &Case, side: Side, upstream: SocketAddr, modules: &Path) -> Result<Value> {
    let any_port: SocketAddr = "127.0.0.1:0".parse()?;
    let server = envoy::Upstream::new(upstream.ip().to_string(), upstream.port());
    let mut bootstrap = Bootstrap::new(any_port, server);
    bootstrap.admin = Some(any_port);
    bootstrap.purpose = Purpose::Comparing;
    bootstrap.dynamic_metadata = case.dynamic_metadata.clone();
    if side == Side::Plugin {
        let guest = case.kind.plugin();
        let path = modules.join(format!("{guest}.wasm"));
        if !path.exists() {
            std::fs::write(&path, guests::build(guest, Shape::Wasip2)?.module)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        let mut plugin = Plugin::new(case.name.clone(), Module::File(path));
        plugin.configuration = Some(serde_json::to_vec(&case.configuration())?);
        bootstrap.plugins.push(plugin);
    }
    let mut json = bootstrap.to_json();
    let resources = &mut json["static_resources"];
    let cluster = &mut resources["clusters"][0];
    cluster["name"] = json!(case.name);
    cluster["load_assignment"]["cluster_name"] = json!(case.name);
    let listener = &mut resources["listeners"][0];
    listener["name"] = json!(listener_name(case, side));
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    if side == Side::Filter {
        // The last filter is the router.
        let filters = list(&mut manager["http_filters"])?;
        let last = filters.len().saturating_sub(1);
        filters.insert(last, filter(case));
        filters.splice(last..last, case.envoy_filters.iter().cloned());
    }
    let routes = list(&mut manager["route_config"]["virtual_hosts"][0]["routes"])?;
    let mut last = routes.pop().context("no route")?;
    last["route"]["cluster"] = json!(case.name);
    for route in &case.routes {
        let mut route = route.clone();
        if side != Side::Filter {
            route.remove(PER_FILTER);
        }
        if !ANSWERS.iter().any(|action| route.contains_key(*action)) {
            let action = route.entry("route").or_insert_with(|| json!({}));
            add(action, object(&last["route"]))?;
        }
        routes.push(Value::Object(route));
    }
    if side == Side::Filter {
        let mut needs = case.envoy_route.clone();
        if case.kind == Kind::Cors {
            let policy = typed(
                "envoy.extensions.filters.http.cors.v3.CorsPolicy",
                &case.envoy,
            );
            needs.insert(PER_FILTER.into(), json!({ case.kind.filter(): policy }));
        }
        let action = needs.remove("route").unwrap_or_default();
        add(&mut last["route"], object(&action))?;
        add(&mut last, needs)?;
    }
    routes.push(last);
    Ok(json)
}

/// The field of a route with configurations of filters.
const PER_FILTER: &str = "typed_per_filter_config";

/// What a route does instead of passing requests to the upstream.
const ANSWERS: [&str; 2] = ["redirect", "direct_response"];

/// Returns Envoy's filter.
fn filter(case: &Case) -> Value {
    let nothing = Map::new();
    let configuration = match case.kind {
        Kind::RateLimit | Kind::Headers => &case.envoy,
        // The policy is part of the route.
        Kind::Cors => &nothing,
    };
    json!({
        "name": case.kind.filter(),
        "typed_config": typed(case.kind.message(), configuration),
    })
}

fn typed(message: &str, fields: &Map<String, Value>) -> Value {
    let mut any = fields.clone();
    any.insert(
        "@type".into(),
        json!(format!("type.googleapis.com/{message}")),
    );
    Value::Object(any)
}

/// Adds the listeners and clusters of a bootstrap to those of another, and takes everything else from the first one.
fn merge(all: &mut Value, mut one: Value) {
    if all.is_null() {
        *all = one;
        return;
    }
    let names = |list: &Value| -> Vec<Value> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| item["name"].clone()).collect()
    };
    for kind in ["listeners", "clusters"] {
        let there = names(&all["static_resources"][kind]);
        if let (Value::Array(all), Value::Array(one)) = (
            &mut all["static_resources"][kind],
            &mut one["static_resources"][kind],
        ) {
            // All sides of a case have the same cluster.
            all.extend(one.drain(..).filter(|it| !there.contains(&it["name"])));
        }
    }
}

fn list(value: &mut Value) -> Result<&mut Vec<Value>> {
    value.as_array_mut().context("the bootstrap has no list")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Adds fields to an object.
fn add(to: &mut Value, fields: Map<String, Value>) -> Result<()> {
    let object = to.as_object_mut().context("expected an object")?;
    object.extend(fields);
    Ok(())
}
