//! Tests how workloads are read from documents or derived from plugins.

use crate::ask::{ask, chains, gives, plugin};

#[test]
fn workloads_are_read_from_the_files() {
    let text = format!(
        "{}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{app: web}}}}}}}}\n---\napiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: p, labels: {{app: p}}}}}}\n- {{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: way, namespace: shop}}, spec: {{gatewayClassName: istio-waypoint}}}}\n",
        plugin("a", "shop", "")
    );
    let ordered = ask(&text, &[]).expect("order should be computed");
    let workloads: Vec<_> = ordered.iter().map(|it| it.workload.to_string()).collect();
    assert_eq!(
        workloads,
        [
            "workload Deployment/web in shop",
            "workload Pod/p in default",
            "waypoint Gateway/way in shop",
        ]
    );
}

fn workloads(text: &str) -> Vec<String> {
    let text = format!("{}{text}", plugin("a", "shop", ""));
    let ordered = ask(&text, &[]).expect("order should be computed");
    ordered.iter().map(|it| it.workload.to_string()).collect()
}

#[test]
fn every_pod_creating_kind_is_a_workload() {
    let pods = "template: {metadata: {labels: {app: web}}}";
    let of = |api: &str, kind: &str, spec: &str| {
        let text = format!(
            "---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: web, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        let plugins = plugin("a", "shop", "selector: {matchLabels: {app: web}}");
        let ordered = ask(&format!("{plugins}{text}"), &[]).expect("order should be computed");
        assert_eq!(
            ordered[0].workload.to_string(),
            format!("workload {kind}/web in shop")
        );
        assert_eq!(chains(&ordered[0]), ["in: a", "out: a"], "{text}");
    };
    for (api, kind) in [
        ("v1", "ReplicationController"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("argoproj.io/v1alpha1", "Rollout"),
    ] {
        of(api, kind, pods);
    }
    of(
        "batch/v1",
        "CronJob",
        &format!("jobTemplate: {{spec: {{{pods}}}}}"),
    );
    // The Deployment that the Rollout references describes the pods. A Rollout in another API group is a different
    // kind.
    let others = "---\napiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {workloadRef: {kind: Deployment, name: web}}\n\
                  ---\napiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {}}\n";
    assert_eq!(workloads(others), ["any other workload in shop"]);
}

/// Istio's chart labels the gateway of the release `istio-ingress` with `istio: ingress`. The injection template
/// identifies it.
#[test]
fn injection_template_identifies_a_gateway() {
    let of = |templates: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: g, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{istio: ingress}}, annotations: {{inject.istio.io/templates: '{templates}'}}}}}}}}\n"
        )
    };
    for templates in ["gateway", "custom, gateway"] {
        assert_eq!(workloads(&of(templates)), ["gateway Deployment/g in shop"]);
    }
    for templates in ["", "sidecar", "gateway-of-ours"] {
        assert_eq!(workloads(&of(templates)), ["workload Deployment/g in shop"]);
    }
}

/// kubectl recognizes a list by its items, regardless of its kind, and does not expand nested lists.
#[test]
fn lists_are_expanded_and_nested_lists_are_rejected() {
    let pod = |name: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}}}");
    let list = |items: &str| format!("{{apiVersion: v1, kind: List, items: [{items}]}}");
    let many = list(&[pod("a"), pod("b"), pod("c")].join(", "));
    let expected = ["a", "b", "c"].map(|name| format!("workload Pod/{name} in default"));
    assert_eq!(workloads(&format!("---\n{many}\n")), expected);
    let nested = list(&[pod("a"), list(&pod("b"))].join(", "));
    let refused = ask(&format!("{nested}\n"), &[]).expect_err("nested lists should be rejected");
    let refused = refused.to_string();
    assert!(
        refused.contains(":1:") && refused.contains("a List inside a List"),
        "{refused}"
    );
    // In a typed list, the kind of the list implies that of its items.
    let typed = "---\n{apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: a}, spec: {template: {}}}]}\n";
    assert_eq!(workloads(typed), ["workload Deployment/a in default"]);
    // The name of a kind does not make an object a list. The first document is one because it has items; the
    // `AllowList` has none.
    let text = "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPluginList\nitems:\n\
                - metadata: {name: inherits, namespace: shop}\n  spec: {url: 'oci://h.io/a:1'}\n\
                ---\napiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: x}\nspec: {items: [1]}\n";
    gives(text, "shop", &["in: inherits", "out: inherits"]);
}

/// The controller of the class determines the role, as in istiod. The name of the class matters only if the class is
/// unknown.
#[test]
fn gateway_class_distinguishes_gateways_from_waypoints() {
    let gateway = |class: &str, more: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: shop{more}}}\nspec: {{gatewayClassName: {class}}}\n"
        )
    };
    let class = |name: &str, controller: &str, labels: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{controllerName: {controller}}}\n"
        )
    };
    let (gateways, waypoints) = (
        ["gateway Gateway/g in shop"],
        ["waypoint Gateway/g in shop"],
    );
    let none = ["any other workload in shop"];
    assert_eq!(workloads(&gateway("istio", "")), gateways);
    assert_eq!(workloads(&gateway("unheard-of", "")), gateways);
    assert_eq!(workloads(&gateway("istio-waypoint", "")), waypoints);
    for class in [
        "istio-east-west",
        "istio-remote",
        "istio-agentgateway",
        "istio-agentgateway-waypoint",
    ] {
        assert_eq!(workloads(&gateway(class, "")), none, "{class}");
    }
    // A class may follow the gateways that refer to it.
    let ours = class("ours", "istio.io/mesh-controller", "");
    assert_eq!(
        workloads(&format!("{}{ours}", gateway("ours", ""))),
        waypoints
    );
    let theirs = class("nginx", "example.com/nginx", "");
    assert_eq!(
        workloads(&format!("{theirs}{}", gateway("nginx", ""))),
        none
    );
    let taken = class("istio-waypoint", "istio.io/gateway-controller", "");
    assert_eq!(
        workloads(&format!("{taken}{}", gateway("istio-waypoint", ""))),
        gateways
    );

    let service = plugin("s", "shop", "targetRefs: [{kind: Service, name: reviews}]");
    let with = |text: &str| {
        let ordered = ask(&format!("{service}{text}"), &[]).expect("order should be computed");
        let left_out: Vec<_> = ordered[0]
            .left_out
            .iter()
            .map(|it| it.why.clone())
            .collect();
        (chains(&ordered[0]), left_out)
    };
    let served = (
        vec![
            "waypoint: ".to_owned(),
            "waypoint Service/reviews in shop: s".to_owned(),
        ],
        vec![],
    );
    assert_eq!(with(&gateway("istio-waypoint", "")), served);
    assert_eq!(
        with(&gateway(
            "istio-waypoint",
            ", labels: {istio.io/waypoint-for: all}"
        )),
        served
    );
    let not = |handles: &str| {
        let why = format!(
            "it is attached to Service/reviews in shop, and this waypoint handles no services: its istio.io/waypoint-for is `{handles}`"
        );
        (vec!["waypoint: ".to_owned()], vec![why])
    };
    for handles in ["workload", "none"] {
        let labels = format!(", labels: {{istio.io/waypoint-for: {handles}}}");
        assert_eq!(with(&gateway("istio-waypoint", &labels)), not(handles));
    }
    // The class provides the value for gateways that do not specify one.
    let ours = class(
        "ours",
        "istio.io/mesh-controller",
        "istio.io/waypoint-for: workload",
    );
    assert_eq!(
        with(&format!("{ours}{}", gateway("ours", ""))),
        not("workload")
    );
    let labels = ", labels: {istio.io/waypoint-for: service}";
    assert_eq!(with(&format!("{ours}{}", gateway("ours", labels))), served);
}

/// The pods of a Gateway have its labels, or the labels in its `infrastructure`.
#[test]
fn gateway_labels_are_passed_to_its_pods() {
    let text = [
        plugin("app", "shop", "selector: {matchLabels: {app: edge}}"),
        plugin("chosen", "shop", "selector: {matchLabels: {tier: front}}"),
        plugin("managed", "shop", "selector: {matchLabels: {gateway.istio.io/managed: istio.io-gateway-controller}}"),
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: shop, labels: {app: edge, gateway.networking.k8s.io/gateway-name: z}}\nspec: {gatewayClassName: istio}\n".into(),
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: b, namespace: shop, labels: {app: edge}}\nspec: {gatewayClassName: istio, infrastructure: {labels: {tier: front}}}\n".into(),
    ]
    .concat();
    let ordered = ask(&text, &[]).expect("order should be computed");
    assert_eq!(chains(&ordered[0]), ["gateway: app managed"]);
    assert_eq!(
        ordered[0].workload.labels["gateway.networking.k8s.io/gateway-name"],
        "a"
    );
    assert_eq!(chains(&ordered[1]), ["gateway: chosen managed"]);
}

#[test]
fn workloads_are_inferred_from_plugins_if_files_have_none() {
    let text = [
        plugin("a", "shop", "selector: {matchLabels: {app: web}}"),
        plugin("b", "istio-system", ""),
        plugin(
            "c",
            "bank",
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}]",
        ),
    ]
    .concat();
    let ordered = ask(&text, &[]).expect("order should be computed");
    let workloads: Vec<_> = ordered
        .iter()
        .map(|it| format!("{}: {}", it.workload, chains(it).join(", ")))
        .collect();
    assert_eq!(
        workloads,
        [
            "gateway Gateway/public in bank: gateway: c b",
            "any other workload in bank: in: b, out: b",
            "workload app=web in shop: in: a b, out: a b",
            "any other workload in shop: in: b, out: b",
            "any other workload in any other namespace: in: b, out: b",
        ]
    );
}
