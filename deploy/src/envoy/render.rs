//! Renders a [`Bootstrap`] as the JSON form of `envoy.config.bootstrap.v3.Bootstrap`.
//!
//! There is one function for each part of the document, outermost first. Field names are those of Envoy, so that they can
//! be looked up in its documentation.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{
    Bootstrap, FailurePolicy, Module, Plugin, Profile, Purpose, UPSTREAM_CLUSTER, Upstream,
};

/// The field that lists a plugin's capabilities. Newer Envoy releases prefer the field of this name in `vm_config`, to
/// which they copy this one. Older releases, down to the oldest supported one, know only this one.
pub(crate) const CAPABILITIES: &str = "capability_restriction_config";

/// Renders the capabilities. Each has a place for sanitization rules, which no Envoy release implements yet.
pub(crate) fn capabilities(names: &BTreeSet<String>) -> Value {
    let allowed: Map<String, Value> = names.iter().map(|name| (name.clone(), json!({}))).collect();
    json!({ "allowed_capabilities": allowed })
}

pub(super) fn bootstrap(of: &Bootstrap) -> Value {
    let mut root = Map::new();
    if let Some(admin) = of.admin {
        root.insert("admin".into(), json!({ "address": address(admin) }));
    }
    if of.purpose == Purpose::Comparing {
        // By default, Envoy collects the values of histograms from its workers every five seconds. With this setting, it does so
        // when the admin interface is asked for statistics.
        root.insert("stats_flush_on_admin".into(), json!(true));
    }
    let mut clusters = vec![cluster(
        UPSTREAM_CLUSTER,
        std::slice::from_ref(&of.upstream),
    )];
    let called = of.clusters.iter();
    clusters.extend(called.map(|it| cluster(&it.name, &it.endpoints)));
    let mut resources = json!({ "clusters": clusters });
    match &of.listener_file {
        None => extend(&mut resources, json!({ "listeners": [listener(of)] })),
        Some(path) => {
            // Required for any configuration that does not come with the bootstrap. Envoy does not use it here.
            root.insert(
                "node".into(),
                json!({ "id": "tidegate", "cluster": "tidegate" }),
            );
            root.insert("dynamic_resources".into(), listener_source(path));
        }
    }
    root.insert("static_resources".into(), resources);
    let mut root = Value::Object(root);
    extend(&mut root, of.profile.bootstrap());
    root
}

fn listener_source(path: &Path) -> Value {
    json!({
        "lds_config": {
            "path_config_source": { "path": path.to_string_lossy() },
            "resource_api_version": "V3",
        },
    })
}

/// Renders the file that contains the listener: a response of the listener discovery service.
pub(super) fn listener_file(of: &Bootstrap) -> Value {
    let listener = typed("envoy.config.listener.v3.Listener", listener(of));
    json!({ "resources": [listener] })
}

fn address(at: SocketAddr) -> Value {
    socket_address(&at.ip().to_string(), at.port())
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn listener(of: &Bootstrap) -> Value {
    json!({
        "name": "listener",
        "address": address(of.listen),
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": connection_manager(of),
            }],
        }],
    })
}

fn connection_manager(of: &Bootstrap) -> Value {
    let mut filters = Vec::new();
    if !of.dynamic_metadata.is_empty() {
        filters.push(set_metadata(&of.dynamic_metadata));
    }
    let plugins = of.plugins.iter();
    filters.extend(plugins.map(|plugin| wasm_filter(plugin, of.purpose)));
    filters.push(router(of));

    let mut manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "ingress",
            // Envoy drops HTTP/1.1 trailers by default, but a plugin's streams have trailers in every runtime.
            "http_protocol_options": { "enable_trailers": true },
            "http_filters": filters,
            "route_config": routes(of),
        }),
    );
    extend(&mut manager, of.profile.connection_manager());
    if adds_nothing(of) {
        extend(
            &mut manager,
            json!({
                "generate_request_id": false,
                "server_header_transformation": "PASS_THROUGH",
            }),
        );
    }
    manager
}

/// Returns whether Envoy's additions are disabled.
fn adds_nothing(of: &Bootstrap) -> bool {
    of.purpose == Purpose::Comparing && of.profile == Profile::Envoy
}

fn routes(of: &Bootstrap) -> Value {
    let mut route = json!({
        "match": { "prefix": "/" },
        // By default, Envoy aborts a response after fifteen seconds, even if it is still streaming.
        "route": { "cluster": UPSTREAM_CLUSTER, "timeout": "0s" },
    });
    if !of.route_metadata.is_empty() {
        extend(
            &mut route,
            json!({ "metadata": { "filter_metadata": of.route_metadata } }),
        );
    }
    let mut all = json!({
        "name": "all",
        "domains": ["*"],
        "routes": [route],
    });
    if adds_nothing(of) {
        extend(
            &mut all,
            json!({ "request_headers_to_remove": ["x-forwarded-proto"] }),
        );
    }
    json!({ "virtual_hosts": [all] })
}

fn set_metadata(namespaces: &Map<String, Value>) -> Value {
    let metadata: Vec<Value> = namespaces
        .iter()
        .map(|(name, value)| json!({ "metadata_namespace": name, "value": value }))
        .collect();
    json!({
        "name": "envoy.filters.http.set_metadata",
        "typed_config": typed(
            "envoy.extensions.filters.http.set_metadata.v3.Config",
            json!({ "metadata": metadata }),
        ),
    })
}

fn router(of: &Bootstrap) -> Value {
    let mut options = of.profile.router();
    if of.purpose == Purpose::Comparing {
        extend(&mut options, json!({ "suppress_envoy_headers": true }));
    }
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", options),
    })
}

fn wasm_filter(plugin: &Plugin, purpose: Purpose) -> Value {
    let mut config = json!({
        "name": plugin.name,
        "root_id": plugin.name,
        "vm_config": vm_config(plugin),
    });
    extend(&mut config, failure(plugin.failure_policy, purpose));
    if let Some(names) = &plugin.capabilities {
        extend(&mut config, json!({ CAPABILITIES: capabilities(names) }));
    }
    if let Some(configuration) = plugin
        .configuration
        .as_deref()
        .filter(|bytes| !bytes.is_empty())
    {
        extend(
            &mut config,
            json!({ "configuration": any_bytes(configuration) }),
        );
    }
    json!({
        "name": plugin.name,
        "typed_config": typed("envoy.extensions.filters.http.wasm.v3.Wasm", json!({ "config": config })),
    })
}

fn failure(policy: FailurePolicy, purpose: Purpose) -> Value {
    match policy {
        // One second is Envoy's own default. It is set explicitly because it determines how long clients receive 503. A
        // transcript cannot wait that long. Two milliseconds is the minimum: with one, Envoy 1.36 to 1.40 divide by zero.
        FailurePolicy::Reload => {
            let base = match purpose {
                Purpose::Serving => "1s",
                Purpose::Comparing => "0.002s",
            };
            json!({
                "failure_policy": "FAIL_RELOAD",
                "reload_config": { "backoff": { "base_interval": base } },
            })
        }
        FailurePolicy::Closed => json!({ "failure_policy": "FAIL_CLOSED" }),
        FailurePolicy::Open => json!({ "failure_policy": "FAIL_OPEN" }),
    }
}

fn vm_config(plugin: &Plugin) -> Value {
    let code = match &plugin.module {
        Module::Inline(bytes) => json!({ "inline_bytes": STANDARD.encode(bytes) }),
        Module::File(path) => json!({ "filename": path.to_string_lossy() }),
    };
    let mut config = json!({
        "runtime": "envoy.wasm.runtime.v8",
        "code": { "local": code },
    });
    if let Some(configuration) = &plugin.vm_configuration {
        extend(
            &mut config,
            json!({ "configuration": any_bytes(configuration) }),
        );
    }
    if !plugin.environment.is_empty() {
        let variables: Map<String, Value> = plugin
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        extend(
            &mut config,
            json!({ "environment_variables": { "key_values": variables } }),
        );
    }
    config
}

/// Wraps the configuration in a message that Envoy unwraps again, so that the plugin receives exactly these bytes. A
/// `Struct` would be rewritten: keys would be sorted and numbers converted to doubles.
pub fn any_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
        }
        Err(_) => {
            json!({ "@type": "type.googleapis.com/google.protobuf.BytesValue", "value": STANDARD.encode(bytes) })
        }
    }
}

fn cluster(name: &str, servers: &[Upstream]) -> Value {
    let has_names = servers.iter().any(|server| server.ip().is_none());
    let kind = if has_names { "STRICT_DNS" } else { "STATIC" };
    let hosts: Vec<Value> = servers
        .iter()
        .map(|server| json!({ "endpoint": { "address": socket_address(&server.host, server.port) } }))
        .collect();
    let endpoints = match hosts.is_empty() {
        true => json!([]),
        false => json!([{ "lb_endpoints": hosts }]),
    };
    let mut cluster = json!({
        "name": name,
        "type": kind,
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": name, "endpoints": endpoints },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                json!({ "explicit_http_config": { "http_protocol_options": { "enable_trailers": true } } }),
            ),
        },
    });
    if has_names {
        // `localhost` has two addresses on most machines, and development servers often listen only on the IPv4 address.
        extend(&mut cluster, json!({ "dns_lookup_family": "V4_PREFERRED" }));
    }
    cluster
}

/// Wraps a message in `google.protobuf.Any`: its fields next to the type URL.
fn typed(message: &str, fields: Value) -> Value {
    let mut any = json!({ "@type": format!("type.googleapis.com/{message}") });
    extend(&mut any, fields);
    any
}

/// Adds the fields of one object to another. Both are objects wherever this function is called.
fn extend(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
    }
}
