//! Tests the parts of the bootstrap. The scenario tests start real Envoys with it.

use serde_json::{Map, Value, json};
use tidegate_deploy::envoy::{
    Bootstrap, Cluster, FailurePolicy, Module, Plugin, Profile, Purpose, Upstream,
};

fn bootstrap(upstream: Upstream, plugins: Vec<Plugin>) -> Bootstrap {
    let listen = "127.0.0.1:8080".parse().expect("valid socket address");
    Bootstrap {
        plugins,
        ..Bootstrap::new(listen, upstream)
    }
}

fn plugin(name: &str) -> Plugin {
    Plugin::new(name, Module::Inline(b"\0asm".to_vec()))
}

fn manager(document: &Value) -> &Value {
    &document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// Returns the `PluginConfig` of the HTTP filter at index `nth`.
fn config(document: &Value, nth: usize) -> &Value {
    &manager(document)["http_filters"][nth]["typed_config"]["config"]
}

#[test]
fn plugins_keep_their_order_and_the_router_is_last() {
    let document = bootstrap(
        Upstream::new("127.0.0.1", 9000),
        vec![plugin("first"), plugin("second")],
    )
    .to_json();
    let names: Vec<_> = manager(&document)["http_filters"]
        .as_array()
        .expect("`http_filters` should be a list")
        .iter()
        .map(|filter| filter["name"].as_str().expect("valid name"))
        .collect();
    assert_eq!(names, ["first", "second", "envoy.filters.http.router"]);
    assert_eq!(config(&document, 0)["root_id"], "first");
    assert_eq!(config(&document, 1)["root_id"], "second");
}

#[test]
fn metadata_is_set_on_the_route_and_before_the_plugins() {
    let mut with = bootstrap(Upstream::new("127.0.0.1", 9000), vec![plugin("plugin")]);
    let route = |document: &Value| {
        manager(document)["route_config"]["virtual_hosts"][0]["routes"][0].clone()
    };
    let document = with.to_json();
    assert_eq!(route(&document).get("metadata"), None);
    assert_eq!(manager(&document)["http_filters"][0]["name"], "plugin");

    let contents = json!({ "key": "value", "nested": { "number": 5.0 } });
    with.route_metadata = Map::from_iter([("of.route".to_owned(), contents.clone())]);
    with.dynamic_metadata = Map::from_iter([("of.stream".to_owned(), contents.clone())]);
    let document = with.to_json();
    assert_eq!(
        route(&document)["metadata"],
        json!({ "filter_metadata": { "of.route": contents } })
    );
    let filters = &manager(&document)["http_filters"];
    assert_eq!(
        filters[0]["typed_config"]["metadata"],
        json!([{ "metadata_namespace": "of.stream", "value": contents }])
    );
    assert_eq!(filters[1]["name"], "plugin");
}

#[test]
fn ip_upstream_is_static_and_hostname_uses_dns() {
    let cluster = |host: &str| {
        bootstrap(Upstream::new(host, 9000), vec![]).to_json()["static_resources"]["clusters"][0]
            .clone()
    };
    assert_eq!(cluster("127.0.0.1")["type"], "STATIC");
    assert_eq!(cluster("::1")["type"], "STATIC");
    assert_eq!(cluster("localhost")["type"], "STRICT_DNS");
    assert_eq!(cluster("localhost")["dns_lookup_family"], "V4_PREFERRED");
    assert_eq!(
        cluster("::1")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
            ["socket_address"],
        json!({ "address": "::1", "port_value": 9000 }),
    );
}

#[test]
fn clusters_for_calls_follow_the_upstream() {
    let mut with = bootstrap(Upstream::new("127.0.0.1", 9000), vec![]);
    let cluster = |name: &str, endpoints: &[Upstream]| Cluster {
        name: name.to_owned(),
        endpoints: endpoints.to_vec(),
    };
    let (name, address) = (Upstream::new("auth", 80), Upstream::new("127.0.0.1", 81));
    with.clusters = vec![
        cluster("auth", &[name, address.clone()]),
        cluster("outbound|81||keys", &[address]),
        cluster("empty", &[]),
    ];
    let document = with.to_json();
    let clusters = document["static_resources"]["clusters"]
        .as_array()
        .expect("`clusters` should be a list");
    let seen: Vec<_> = clusters
        .iter()
        .map(|cluster| {
            let hosts = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"];
            let count = hosts.as_array().map_or(0, Vec::len);
            (&cluster["name"], &cluster["type"], count)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("upstream"), &json!("STATIC"), 1),
            (&json!("auth"), &json!("STRICT_DNS"), 2),
            (&json!("outbound|81||keys"), &json!("STATIC"), 1),
            (&json!("empty"), &json!("STATIC"), 0),
        ]
    );
    assert_eq!(
        clusters[3]["load_assignment"],
        json!({ "cluster_name": "empty", "endpoints": [] })
    );
}

#[test]
fn listener_is_in_the_bootstrap_or_in_a_file() {
    let mut dynamic = bootstrap(Upstream::new("127.0.0.1", 9000), vec![plugin("plugin")]);
    let document = dynamic.to_json();
    let listener = &document["static_resources"]["listeners"][0];
    assert_eq!(document.get("dynamic_resources"), None);
    assert_eq!(document.get("node"), None);

    dynamic.listener_file = Some("/run/listener.json".into());
    let other = dynamic.to_json();
    assert_eq!(other["static_resources"].get("listeners"), None);
    assert_eq!(
        other["static_resources"]["clusters"],
        document["static_resources"]["clusters"]
    );
    assert_eq!(
        other["dynamic_resources"]["lds_config"]["path_config_source"],
        json!({ "path": "/run/listener.json" })
    );
    // Without these, Envoy rejects the bootstrap.
    assert!(other["node"]["id"].is_string() && other["node"]["cluster"].is_string());

    let mut file = dynamic.listener_to_json();
    let resource = file["resources"][0]
        .as_object_mut()
        .expect("listener should be an object");
    assert_eq!(
        resource.remove("@type"),
        Some(json!(
            "type.googleapis.com/envoy.config.listener.v3.Listener"
        ))
    );
    assert_eq!(&file["resources"], &json!([listener]));
}

#[test]
fn module_is_inline_or_a_file() {
    let mut file = plugin("file");
    file.module = Module::File("/plugins/file.wasm".into());
    let document = bootstrap(
        Upstream::new("127.0.0.1", 9000),
        vec![plugin("inline"), file],
    )
    .to_json();
    assert_eq!(
        config(&document, 0)["vm_config"]["code"]["local"],
        json!({ "inline_bytes": "AGFzbQ==" })
    );
    assert_eq!(
        config(&document, 1)["vm_config"]["code"]["local"],
        json!({ "filename": "/plugins/file.wasm" })
    );
}

#[test]
fn configuration_reaches_the_plugin_byte_for_byte() {
    let configured = |bytes: Option<&[u8]>| {
        let mut plugin = plugin("plugin");
        plugin.configuration = bytes.map(<[u8]>::to_vec);
        config(
            &bootstrap(Upstream::new("127.0.0.1", 9000), vec![plugin]).to_json(),
            0,
        )["configuration"]
            .clone()
    };
    assert_eq!(
        configured(Some(b"{\"b\": 1, \"a\": 2}")),
        json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{\"b\": 1, \"a\": 2}" }),
    );
    assert_eq!(
        configured(Some(b"\xff\x00")),
        json!({ "@type": "type.googleapis.com/google.protobuf.BytesValue", "value": "/wA=" }),
    );
    assert_eq!(configured(Some(b"")), Value::Null);
    assert_eq!(configured(None), Value::Null);
}

#[test]
fn environment_is_set_in_the_vm_config() {
    let mut with = plugin("with");
    with.environment = vec![("GREETING".into(), "hello".into())];
    let document = bootstrap(
        Upstream::new("127.0.0.1", 9000),
        vec![with, plugin("without")],
    )
    .to_json();
    assert_eq!(
        config(&document, 0)["vm_config"]["environment_variables"],
        json!({ "key_values": { "GREETING": "hello" } })
    );
    assert_eq!(
        config(&document, 1)["vm_config"].get("environment_variables"),
        None
    );
}

#[test]
fn configuration_of_the_virtual_machine_is_separate() {
    let mut with = plugin("with");
    with.vm_configuration = Some("2".into());
    let document = bootstrap(
        Upstream::new("127.0.0.1", 9000),
        vec![with, plugin("without")],
    )
    .to_json();
    assert_eq!(
        config(&document, 0)["vm_config"]["configuration"],
        json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "2" })
    );
    assert_eq!(config(&document, 0).get("configuration"), None);
    assert_eq!(config(&document, 1)["vm_config"].get("configuration"), None);
}

#[test]
fn fail_policies_map_to_envoy_names() {
    for (policy, name) in [
        (FailurePolicy::Reload, "FAIL_RELOAD"),
        (FailurePolicy::Closed, "FAIL_CLOSED"),
        (FailurePolicy::Open, "FAIL_OPEN"),
    ] {
        let mut plugin = plugin("plugin");
        plugin.failure_policy = policy;
        let document = bootstrap(Upstream::new("127.0.0.1", 9000), vec![plugin]).to_json();
        assert_eq!(config(&document, 0)["failure_policy"], name);
        assert_eq!(
            config(&document, 0).get("reload_config").is_some(),
            policy == FailurePolicy::Reload
        );
    }
}

#[test]
fn bootstrap_for_serving_keeps_envoy_defaults() {
    let serving = bootstrap(Upstream::new("127.0.0.1", 9000), vec![plugin("plugin")]);
    let comparable = Bootstrap {
        purpose: Purpose::Comparing,
        ..serving.clone()
    };
    assert_eq!(manager(&serving.to_json()).get("generate_request_id"), None);
    assert_eq!(manager(&comparable.to_json())["generate_request_id"], false);
    assert_eq!(serving.to_json().get("stats_flush_on_admin"), None);
    assert_eq!(comparable.to_json()["stats_flush_on_admin"], true);
    assert_eq!(
        config(&serving.to_json(), 0)["reload_config"]["backoff"]["base_interval"],
        "1s"
    );
    assert_eq!(
        config(&comparable.to_json(), 0)["reload_config"]["backoff"]["base_interval"],
        "0.002s"
    );
}

#[test]
fn profile_determines_the_settings_of_the_connection_manager() {
    let document = |profile, purpose| {
        let bootstrap = Bootstrap {
            profile,
            purpose,
            ..bootstrap(Upstream::new("127.0.0.1", 9000), vec![])
        };
        bootstrap.to_json()
    };
    let settings = [
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "use_remote_address",
        "server_name",
        "server_header_transformation",
        "common_http_protocol_options",
    ];
    let of = |profile, purpose| {
        let document = document(profile, purpose);
        settings.map(|name| manager(&document)[name].clone())
    };
    assert_eq!(
        of(Profile::Envoy, Purpose::Serving),
        [const { Value::Null }; 7]
    );
    for purpose in [Purpose::Serving, Purpose::Comparing] {
        assert_eq!(
            of(Profile::Istio, purpose),
            [
                json!(true),
                Value::Null,
                json!("KEEP_UNCHANGED"),
                json!(false),
                json!("istio-envoy"),
                json!("OVERWRITE"),
                Value::Null,
            ]
        );
        assert_eq!(
            of(Profile::EnvoyGateway, purpose),
            [
                json!(true),
                json!(true),
                json!("UNESCAPE_AND_REDIRECT"),
                json!(true),
                Value::Null,
                json!("PASS_THROUGH"),
                json!({ "headers_with_underscores_action": "REJECT_REQUEST" }),
            ]
        );
        let istio = document(Profile::Istio, purpose);
        assert_eq!(
            istio["layered_runtime"]["layers"][0]["static_layer"],
            json!({ "envoy.reloadable_features.http_reject_path_with_fragment": false })
        );
        for other in [Profile::Envoy, Profile::EnvoyGateway] {
            assert_eq!(document(other, purpose).get("layered_runtime"), None);
        }
    }
    let gateway = document(Profile::EnvoyGateway, Purpose::Serving);
    let router = &manager(&gateway)["http_filters"][0]["typed_config"];
    assert_eq!(router["suppress_envoy_headers"], true);
}

#[test]
fn admin_is_present_only_when_configured() {
    let mut bootstrap = bootstrap(Upstream::new("127.0.0.1", 9000), vec![]);
    assert_eq!(bootstrap.to_json().get("admin"), None);
    bootstrap.admin = Some("127.0.0.1:9901".parse().expect("valid socket address"));
    assert_eq!(
        bootstrap.to_json()["admin"]["address"]["socket_address"]["port_value"],
        9901
    );
}

#[test]
fn yaml_output_is_equivalent_to_json() {
    let mut plugin = plugin("plugin");
    plugin.module = Module::Inline(vec![0x5a; 4096]);
    plugin.configuration = Some(b"{\n  \"text\": \"yes: # 'quoted' \\\"twice\\\"\"\n}\n".to_vec());
    let bootstrap = bootstrap(Upstream::new("localhost", 9000), vec![plugin]);
    let yaml = bootstrap
        .to_yaml()
        .expect("bootstrap should serialize as YAML");
    let read: Value = serde_saphyr::from_str(&yaml).expect("output should be valid YAML");
    assert_eq!(read, bootstrap.to_json());
}

#[test]
fn capabilities_are_restricted_only_when_given() {
    let mut restricted = plugin("restricted");
    restricted.capabilities = Some(["proxy_log", "proxy_on_log"].map(str::to_owned).into());
    let plugins = vec![restricted, plugin("free")];
    let document = bootstrap(Upstream::new("127.0.0.1", 9000), plugins).to_json();
    assert_eq!(
        config(&document, 0)["capability_restriction_config"],
        json!({ "allowed_capabilities": { "proxy_log": {}, "proxy_on_log": {} } })
    );
    assert_eq!(
        config(&document, 1).get("capability_restriction_config"),
        None
    );
}
