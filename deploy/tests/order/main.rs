//! Tests which plugins apply to a workload, and in which order. `workloads.rs` tests how workloads are read,
//! `waypoints.rs` which waypoint handles a service, and `ask.rs` contains the functions that all tests use.

mod ask;
mod waypoints;
mod workloads;

use tidegate_deploy::istio::order::{Step, Workload};

use ask::{GATEWAY, WAYPOINT, answer, ask, extension, gives, left_out, names, plugin, why};

#[test]
fn istio_filters_run_between_the_phases() {
    let text = [
        plugin("none", "shop", ""),
        plugin("stats", "shop", "phase: STATS"),
        plugin("authz", "shop", "phase: AUTHZ"),
        plugin("authn", "shop", "phase: AUTHN"),
        plugin("unspecified", "shop", "phase: UNSPECIFIED_PHASE"),
    ]
    .concat();
    // None of Istio's filters are between the last two phases.
    let chain = "authn | authz | stats none unspecified";
    gives(
        &text,
        "shop",
        &[
            &format!("in: {chain}"),
            // Istio performs neither authentication nor authorization for outbound requests of a sidecar.
            "out: authn authz stats none unspecified",
        ],
    );
    gives(
        &text,
        "shop/istio=ingressgateway",
        &[&format!("gateway: {chain}")],
    );
    let ordered = ask(&text, &["shop"]).expect("order should be computed");
    let filters = |nth: usize| -> Vec<&str> {
        let steps = ordered[0].chains[nth].steps.iter();
        let own = steps.filter_map(|step| match step {
            Step::Istio { filter, .. } => Some(*filter),
            Step::Plugin { .. } => None,
        });
        own.collect()
    };
    assert_eq!(
        filters(0),
        [
            "istio.metadata_exchange",
            "envoy.filters.http.ext_authz",
            "envoy.filters.http.jwt_authn",
            "envoy.filters.http.rbac",
            "envoy.filters.http.grpc_stats",
            "envoy.filters.http.fault",
            "envoy.filters.http.cors",
            "istio.stats",
            "envoy.filters.http.router",
        ]
    );
    assert!(filters(1).contains(&"istio.alpn"));
}

#[test]
fn higher_priority_runs_first_and_no_priority_last() {
    let text = [
        plugin("none", "shop", ""),
        plugin("zero", "shop", "priority: 0"),
        plugin("minus", "shop", "priority: -5"),
        plugin("ten", "shop", "priority: 10"),
        plugin("nil", "shop", "priority: null"),
    ]
    .concat();
    gives(
        &text,
        "shop",
        &[
            "in: ten zero minus nil none",
            "out: ten zero minus nil none",
        ],
    );
    assert_eq!(
        why(&text, "shop", "zero"),
        "for the whole namespace; after WasmPlugin shop/ten: 0 is lower than 10"
    );
    assert_eq!(
        why(&text, "shop", "nil"),
        "for the whole namespace; after WasmPlugin shop/minus: a plugin without a priority runs after those with one"
    );
    assert!(why(&text, "shop", "none").contains(
        "neither has a priority, and the older runs first; the files contain no creation times"
    ));
}

#[test]
fn own_namespace_runs_before_root_at_equal_priority() {
    let text = [
        plugin("a-root", "istio-system", "priority: 1"),
        plugin("b-own", "shop", "priority: 1"),
        plugin("c-root", "istio-system", "priority: 2"),
        plugin("elsewhere", "bank", ""),
    ]
    .concat();
    gives(
        &text,
        "shop",
        &["in: c-root b-own a-root", "out: c-root b-own a-root"],
    );
    assert_eq!(
        why(&text, "shop", "a-root"),
        "for the whole mesh; after WasmPlugin shop/b-own: both have priority 1, and plugins of the workload's namespace run first"
    );
    gives(
        &text,
        "istio-system",
        &["in: c-root a-root", "out: c-root a-root"],
    );
    assert!(left_out(&text, "shop").is_empty());
}

#[test]
fn ties_are_broken_by_age_only_if_all_ages_are_known() {
    let aged = |name: &str, time: &str| {
        format!(
            "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: {name}, namespace: shop, creationTimestamp: '{time}'}}\nspec: {{url: 'oci://h.io/a:1'}}\n"
        )
    };
    let text = [
        aged("a", "2026-01-02T00:00:00Z"),
        aged("b", "2026-01-01T23:59:59Z"),
    ]
    .concat();
    gives(&text, "shop", &["in: b a", "out: b a"]);
    assert!(
        why(&text, "shop", "a")
            .ends_with("after WasmPlugin shop/b: neither has a priority, and the older runs first")
    );
    // If one age is unknown, no age is taken into account.
    let text = format!("{text}{}", plugin("c", "shop", ""));
    gives(&text, "shop", &["in: a b c", "out: a b c"]);
    let text = [
        aged("b", "2026-01-01T00:00:00Z"),
        aged("a", "2026-01-01T00:00:00Z"),
    ]
    .concat();
    assert!(
        why(&text, "shop", "b")
            .ends_with("both were created in the same second, so they are ordered by name")
    );
}

/// istiod compares names after it has converted each WasmPlugin to a TrafficExtension, which has a longer name.
#[test]
fn ties_by_name_compare_the_translated_names() {
    let text = [
        plugin("a", "shop", ""),
        plugin("a-2", "shop", ""),
        extension("b", "shop", "lua: {inlineCode: x}"),
    ]
    .concat();
    gives(&text, "shop", &["in: a-2 a b", "out: a-2 a b"]);
}

/// Objects of different kinds may have the same name, so reasons include the kind.
#[test]
fn reasons_include_the_resource_kind() {
    let text = [
        plugin("a", "shop", "priority: 1"),
        extension("a", "shop", "priority: 2, lua: {inlineCode: x}"),
        plugin("b", "shop", ""),
    ]
    .concat();
    assert_eq!(
        why(&text, "shop", "b"),
        "for the whole namespace; after WasmPlugin shop/a: a plugin without a priority runs after those with one"
    );
    let ordered = ask(&text, &["shop"]).expect("order should be computed");
    let reasons: Vec<_> = ordered[0].chains[0]
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Plugin { id, why, .. } if id.kind == "WasmPlugin" => Some(why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        reasons[0],
        "for the whole namespace; after TrafficExtension shop/a: 1 is lower than 2"
    );
}

/// The plugins are admitted, but apply to no workload. `validate` has the rule `url.dropped` for this.
#[test]
fn plugins_that_istiod_drops_are_left_out() {
    let reason = "istiod cannot parse its url (the first path segment contains a colon) and drops it; \
                  see `tidegate check`";
    let text = [
        plugin("a", "shop", ""),
        plugin("b", "shop", "selector: {matchLabels: {app: api}}")
            .replace("oci://h.io/a:1", "127.0.0.1:5000/y:1"),
        extension(
            "c",
            "shop",
            "targetRefs: [{kind: Service, name: reviews}], wasm: {url: '127.0.0.1:5000/y:1'}",
        ),
        plugin("d", "shop", "").replace("oci://h.io/a:1", "h.io/a:1"),
    ]
    .concat();
    gives(&text, "shop/app=api", &["in: a d", "out: a d"]);
    let dropped = [format!("b: {reason}"), format!("c: {reason}")];
    assert_eq!(left_out(&text, "shop/app=api"), dropped);
    // A dropped plugin does not result in a separate chain for its service.
    let workload = format!("shop/{WAYPOINT}");
    gives(&text, &workload, &["waypoint: "]);
    assert!(left_out(&text, &workload).contains(&dropped[1]));
}

#[test]
fn envoy_filters_are_counted() {
    let filter = "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: f, namespace: shop}\nspec: {}\n";
    let said = |text: &str| {
        let answer = answer(text, &["shop"]).expect("order should be computed");
        let names = names(&answer.workloads[0].chains[0].steps);
        (names, answer.envoy_filters.to_string())
    };
    let text = format!("{}{filter}", plugin("a", "shop", ""));
    assert_eq!(said(&text), ("a".into(), "1 EnvoyFilter is ignored".into()));
    let listed = "---\nkind: List\napiVersion: v1\nitems:\n- {apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: g}}\n";
    assert_eq!(
        said(&format!("{text}{listed}")),
        ("a".into(), "2 EnvoyFilters are ignored".into())
    );
    let other = "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\n---\napiVersion: example.com/v1\nkind: EnvoyFilter\n";
    let answer = answer(&format!("{}{other}", plugin("a", "shop", "")), &[])
        .expect("order should be computed");
    assert!(!answer.envoy_filters.any());
    assert_eq!(
        ask(filter, &[])
            .expect_err("files without plugins should be rejected")
            .to_string(),
        "found no WasmPlugin and no TrafficExtension in plugins.yaml, and 1 EnvoyFilter is ignored"
    );
}

#[test]
fn selector_requires_all_of_its_labels() {
    let text = [
        plugin(
            "both",
            "shop",
            "selector: {matchLabels: {app: web, tier: front}}",
        ),
        plugin("one", "shop", "selector: {matchLabels: {app: web}}"),
        plugin("empty", "shop", "selector: {}"),
        plugin(
            "mesh",
            "istio-system",
            "selector: {matchLabels: {app: web}}",
        ),
    ]
    .concat();
    gives(
        &text,
        "shop/app=web,tier=front",
        &["in: both empty one mesh", "out: both empty one mesh"],
    );
    gives(
        &text,
        "shop/app=web",
        &["in: empty one mesh", "out: empty one mesh"],
    );
    assert_eq!(
        left_out(&text, "shop/app=web"),
        ["both: its selector requires tier=front"]
    );
    gives(&text, "bank/app=web", &["in: mesh", "out: mesh"]);
}

#[test]
fn match_modes_and_ports_restrict_the_chain() {
    let text = [
        plugin("both", "shop", "match: [{mode: CLIENT_AND_SERVER}]"),
        plugin("client", "shop", "match: [{mode: CLIENT}]"),
        plugin("ports", "shop", "match: [{mode: SERVER, ports: [{number: 80}]}, {mode: SERVER, ports: [{number: 8080}]}]"),
        plugin("server", "shop", "match: [{mode: SERVER}]"),
    ]
    .concat();
    gives(
        &text,
        "shop",
        &["in: both ports server", "out: both client"],
    );
    gives(
        &text,
        "shop/istio=ingressgateway",
        &["gateway: both client"],
    );
    assert_eq!(
        left_out(&text, "shop/istio=ingressgateway"),
        [
            "ports: its match has another mode: a gateway's traffic is CLIENT",
            "server: its match has another mode: a gateway's traffic is CLIENT",
        ]
    );
    assert!(left_out(&text, "shop").is_empty());
    let ordered = ask(&text, &["shop"]).expect("order should be computed");
    let mut steps = ordered[0].chains[0].steps.iter();
    let confined = steps.find_map(|step| match step {
        Step::Plugin { id, ports, .. } if id.name == "ports" => Some(ports.clone()),
        _ => None,
    });
    assert_eq!(confined, Some(vec![80, 8080]));
}

/// istiod compares a port with that of a listener only if it is not 0. An entry that lists ports is restricted to them
/// nevertheless.
#[test]
fn port_0_never_matches() {
    let text = [
        plugin("all", "shop", "match: [{mode: CLIENT, ports: []}]"),
        plugin(
            "both",
            "shop",
            "match: [{ports: [{number: 0}, {number: 80}]}]",
        ),
        plugin("either", "shop", "match: [{ports: [{number: 0}]}, {}]"),
        plugin("none", "shop", "match: [{ports: [{number: 0}]}]"),
    ]
    .concat();
    gives(&text, "shop", &["in: both either", "out: all both either"]);
    let why = "none: its match contains only port 0, which is not valid; see `tidegate check`";
    assert_eq!(left_out(&text, "shop"), [why]);
    let text = text.replace(
        "metadata: {name: none,",
        "metadata: {name: none, annotations: {},",
    );
    let text = text.replace(
        "match: [{ports: [{number: 0}]}]}",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: way}], match: [{ports: [{number: 0}]}]}",
    );
    let left_out = left_out(&text, &format!("shop/{WAYPOINT}"));
    assert!(left_out.iter().any(|it| it == why), "{left_out:?}");
    let ordered = ask(&text, &["shop"]).expect("order should be computed");
    let mut steps = ordered[0].chains[0].steps.iter();
    let confined = steps.find_map(|step| match step {
        Step::Plugin { id, ports, .. } if id.name == "both" => Some(ports.clone()),
        _ => None,
    });
    assert_eq!(confined, Some(vec![80]));
}

#[test]
fn network_plugins_run_before_http_plugins() {
    let text = [
        plugin("http", "shop", "phase: AUTHN, type: HTTP"),
        plugin("net", "shop", "type: NETWORK"),
        plugin("net-authz", "shop", "phase: AUTHZ, type: NETWORK"),
        extension("lua", "shop", "phase: STATS, lua: {inlineCode: x}"),
        extension(
            "wasm",
            "shop",
            "phase: STATS, wasm: {url: 'oci://h.io/a:1', type: NETWORK}",
        ),
    ]
    .concat();
    let (requests, connections) = ("net-authz wasm net | http | lua", "net-authz | wasm net");
    gives(
        &text,
        "shop",
        &[
            &format!("in: {requests}"),
            &format!("in tcp: {connections}"),
            // In this direction, none of Istio's filters are between the HTTP plugins.
            "out: net-authz wasm net | http lua",
            "out tcp: net-authz wasm net",
        ],
    );
}

#[test]
fn gateways_match_by_target_ref_or_selector() {
    let reference = |kind: &str, name: &str| {
        format!("targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {name}}}]")
    };
    let text = [
        plugin("named", "shop", &reference("Gateway", "public")),
        plugin("other", "shop", &reference("Gateway", "private")),
        plugin(
            "old",
            "shop",
            "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public}",
        ),
        plugin("all", "shop", ""),
        plugin("elsewhere", "istio-system", &reference("Gateway", "public")),
    ]
    .concat();
    gives(
        &text,
        &format!("shop/{GATEWAY}"),
        &["gateway: all named old"],
    );
    assert_eq!(
        left_out(&text, &format!("shop/{GATEWAY}")),
        [
            "elsewhere: it is attached to Gateway/public in istio-system",
            "other: it is attached to Gateway/private in shop",
        ]
    );
    gives(&text, "shop/app=web", &["in: all", "out: all"]);
    assert!(left_out(&text, "shop/app=web")[0].contains("only to gateways and waypoints"));
}

#[test]
fn waypoints_match_by_target_ref_only() {
    let text = [
        plugin("class", "istio-system", "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]"),
        plugin("gateway", "shop", "phase: STATS, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: way}]"),
        plugin("service", "shop", "phase: AUTHN, targetRefs: [{kind: Service, name: reviews}]"),
        plugin("entry", "shop", "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: out}], match: [{ports: [{number: 80}]}]"),
        plugin("selector", "shop", ""),
    ]
    .concat();
    let workload = format!("shop/{WAYPOINT}");
    gives(
        &text,
        &workload,
        &[
            "waypoint: gateway class",
            "waypoint Service/reviews in shop: service | gateway class",
            "waypoint ServiceEntry/out in shop: gateway class",
        ],
    );
    let left_out = left_out(&text, &workload);
    assert!(
        left_out
            .iter()
            .any(|it| it.starts_with("selector: it has no targetRefs"))
            && left_out
                .iter()
                .any(|it| it
                    == "entry: its match contains ports, and requests in a waypoint have none"),
        "{left_out:?}"
    );
}

#[test]
fn invalid_input_is_rejected_with_a_reason() {
    let of = |text: &str| {
        ask(text, &[])
            .expect_err("text should be rejected")
            .to_string()
    };
    for (spec, message) in [
        (
            "priority: high",
            "plugins.yaml:5:41: `priority` is not a 32-bit integer",
        ),
        ("priority: 3000000000", "`priority` is not a 32-bit integer"),
        (
            "phase: authn",
            "unknown `phase` `authn`: expected one of AUTHN, AUTHZ, STATS",
        ),
        (
            "selector: {matchLabels: {app: on}}",
            "the label `app` is not a string: quote it",
        ),
        (
            "targetRefs: [{kind: Service}]",
            "the reference has no `name`",
        ),
        ("match: [{ports: [{}]}]", "the port has no `number`"),
        (
            "match: [{mode: server}]",
            "unknown `mode` `server`: expected one of CLIENT",
        ),
    ] {
        let error = of(&plugin("a", "shop", spec));
        assert!(error.contains(message), "{spec}: {error}");
    }
    let refused = plugin("a", "shop", "").replace("oci://h.io/a:1", "localhost:5000/a:1");
    assert!(of(&refused).contains("plugins.yaml:5:13: Istio does not admit this `url`"));
    let twice = of(&[plugin("a", "shop", ""), plugin("a", "shop", "")].concat());
    assert!(
        twice.contains("WasmPlugin shop/a is defined twice"),
        "{twice}"
    );
    assert_eq!(
        of("kind: ConfigMap\n"),
        "found no WasmPlugin and no TrafficExtension in plugins.yaml"
    );
    for bad in [
        "",
        "/app=web",
        "shop/app",
        "shop/app=web,=x",
        "a.b",
        "a.b/app=web",
    ] {
        assert!(bad.parse::<Workload>().is_err(), "{bad}");
    }
}
