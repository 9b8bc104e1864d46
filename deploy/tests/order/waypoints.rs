//! Tests which waypoint handles requests to a service, based on labels and on what the waypoint allows.

use crate::ask::{answer, ask, chains, plugin};

/// Returns the waypoint `Gateway/NAME` in the namespace `infra`. `namespaces` is the content of that field of its
/// listener.
fn waypoint(name: &str, labels: &str, namespaces: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: infra, labels: {{{labels}}}}}\nspec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, protocol: HBONE, port: 15008, allowedRoutes: {{namespaces: {{{namespaces}}}}}}}]}}\n"
    )
}

fn service(name: &str, namespace: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n"
    )
}

fn namespace(name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n"
    )
}

const WAY: &str = "istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: infra";
const NONE: &str = "istio.io/use-waypoint: none";

/// Returns a plugin that is attached to `Service/reviews` in `shop`.
fn of_reviews() -> String {
    plugin("p", "shop", "targetRefs: [{kind: Service, name: reviews}]")
}

/// Returns the services with plugins that the waypoint `infra/way` handles, and why a plugin has no effect.
fn handled(text: &str) -> (Vec<String>, Vec<String>) {
    let text = format!("{}{text}", waypoint("way", "", "from: All"));
    let answer = answer(&text, &[]).expect("order should be computed");
    let handled = chains(&answer.workloads[0]).into_iter().skip(1).collect();
    let unused = answer.unused.into_iter().map(|it| it.why).collect();
    (handled, unused)
}

#[track_caller]
fn is_handled(documents: &[String]) {
    let (handled, unused) = handled(&format!("{}{}", of_reviews(), documents.concat()));
    assert_eq!(handled, ["waypoint Service/reviews in shop: p"]);
    assert!(unused.is_empty(), "{unused:?}");
}

#[track_caller]
fn is_not_handled(documents: &[String], why: &str) {
    let (handled, unused) = handled(&format!("{}{}", of_reviews(), documents.concat()));
    assert!(handled.is_empty(), "{handled:?}");
    let why = format!("it is attached to Service/reviews in shop, which {why}");
    assert_eq!(unused, [why]);
}

#[test]
fn service_labels_take_precedence_over_namespace_labels() {
    is_handled(&[service("reviews", "shop", WAY)]);
    is_handled(&[service("reviews", "shop", WAY), namespace("shop", NONE)]);
    is_handled(&[namespace("shop", WAY)]);
    is_handled(&[service("reviews", "shop", ""), namespace("shop", WAY)]);
    is_not_handled(
        &[service("reviews", "shop", NONE), namespace("shop", WAY)],
        "uses no waypoint: its label istio.io/use-waypoint is `none`",
    );
    is_not_handled(
        &[namespace("shop", NONE)],
        "uses no waypoint: its namespace's label istio.io/use-waypoint is `none`",
    );
    is_not_handled(
        &[service("reviews", "shop", ""), namespace("shop", "")],
        "uses no waypoint: neither it nor its namespace has the label istio.io/use-waypoint",
    );
    // A waypoint that does not exist is not replaced by that of the namespace.
    is_not_handled(
        &[
            service("reviews", "shop", "istio.io/use-waypoint: way"),
            namespace("shop", WAY),
        ],
        "uses Gateway/way in shop, and that is not in the files",
    );
    // The namespace of a waypoint has no effect without its name.
    is_not_handled(
        &[
            service("reviews", "shop", "istio.io/use-waypoint-namespace: infra"),
            namespace("shop", ""),
        ],
        "uses no waypoint: neither it nor its namespace has the label istio.io/use-waypoint",
    );
}

#[test]
fn external_name_and_gateway_services_use_no_waypoint() {
    let external = service("reviews", "shop", WAY) + "spec: {type: ExternalName}\n";
    is_not_handled(&[external], "uses no waypoint: its type is ExternalName");
    let managed = format!("{WAY}, gateway.istio.io/managed: istio.io-mesh-controller");
    is_not_handled(
        &[service("reviews", "shop", &managed)],
        "uses no waypoint: it is a gateway's own",
    );
}

/// If the files do not determine the waypoint of a service, the service uses the waypoints in its namespace.
#[test]
fn namespace_waypoint_is_assumed_if_labels_are_unknown() {
    let of = |documents: &[String]| {
        let local = plugin("q", "infra", "targetRefs: [{kind: Service, name: local}]");
        handled(&format!("{}{local}{}", of_reviews(), documents.concat())).0
    };
    let local = ["waypoint Service/local in infra: q"];
    assert_eq!(of(&[]), local);
    assert_eq!(of(&[service("local", "infra", "")]), local);
    assert_eq!(of(&[namespace("infra", "")]), local);
    assert!(of(&[service("local", "infra", ""), namespace("infra", "")]).is_empty());
}

#[test]
fn waypoints_restrict_namespaces_and_traffic_types() {
    let why = |labels: &str, namespaces: &str, own: &str| {
        let text = format!(
            "{}{}{}{}",
            waypoint("way", labels, namespaces),
            of_reviews(),
            service("reviews", "shop", WAY),
            namespace("shop", own)
        );
        let answer = answer(&text, &[]).expect("order should be computed");
        answer.unused.into_iter().next().map(|it| it.why)
    };
    let team = "matchLabels: {team: a}";
    let selected = |selector: &str| format!("from: Selector, selector: {{{selector}}}");
    let by = |key: &str, operator: &str, values: &str| {
        selected(&format!(
            "matchExpressions: [{{key: {key}, operator: {operator}, values: [{values}]}}]"
        ))
    };
    for (namespaces, own) in [
        ("from: All".to_owned(), ""),
        (selected(team), "team: a"),
        (selected(""), ""),
        (by("team", "In", "b, a"), "team: a"),
        (by("team", "NotIn", "b"), "team: a"),
        (by("team", "NotIn", "b"), ""),
        (by("team", "Exists", ""), "team: a"),
        (by("team", "DoesNotExist", ""), ""),
        (by("kubernetes.io/metadata.name", "In", "shop"), ""),
    ] {
        assert_eq!(why("", &namespaces, own), None, "{namespaces}");
    }
    let denied = "it is attached to Service/reviews in shop, which uses Gateway/way in infra, and that does not allow services of the namespace shop: see `allowedRoutes` of its listener";
    for (namespaces, own) in [
        (String::new(), "team: a"),
        ("from: Same".to_owned(), "team: a"),
        ("from: Selector".to_owned(), "team: a"),
        (selected(team), "team: b"),
        (by("team", "In", "b"), "team: a"),
        (by("team", "NotIn", "a"), "team: a"),
        (by("team", "Exists", ""), ""),
        (by("team", "DoesNotExist", ""), "team: a"),
        (by("kubernetes.io/metadata.name", "In", "bank"), ""),
    ] {
        assert_eq!(
            why("", &namespaces, own).as_deref(),
            Some(denied),
            "{namespaces}"
        );
    }
    for handles in ["service", "all"] {
        let labels = format!("istio.io/waypoint-for: {handles}");
        assert_eq!(why(&labels, "from: All", ""), None);
    }
    for handles in ["workload", "none"] {
        let labels = format!("istio.io/waypoint-for: {handles}");
        let why = why(&labels, "from: All", "").expect("plugin should be reported");
        let end = format!("and that handles no services: its istio.io/waypoint-for is `{handles}`");
        assert!(why.ends_with(&end), "{why}");
    }
    let gateway = waypoint("way", "", "from: All").replace("istio-waypoint", "istio");
    let text = format!(
        "{gateway}{}{}",
        of_reviews(),
        service("reviews", "shop", WAY)
    );
    let unused = answer(&text, &[]).expect("order should be computed").unused;
    assert!(
        unused[0]
            .why
            .ends_with("and that is not a waypoint that runs plugins"),
        "{unused:?}"
    );
}

/// Only the HBONE listener restricts which namespaces may use a waypoint. Namespaces that are not in the files may use
/// it.
#[test]
fn only_the_hbone_listener_restricts_waypoint_namespaces() {
    let http = waypoint("way", "", "from: All").replace("HBONE", "HTTP");
    let text = format!("{http}{}{}", of_reviews(), service("reviews", "shop", WAY));
    assert_eq!(
        answer(&text, &[])
            .expect("order should be computed")
            .unused
            .len(),
        1
    );
    let selected = waypoint(
        "way",
        "",
        "from: Selector, selector: {matchLabels: {team: a}}",
    );
    let text = format!(
        "{selected}{}{}",
        of_reviews(),
        service("reviews", "shop", WAY)
    );
    assert!(
        answer(&text, &[])
            .expect("order should be computed")
            .unused
            .is_empty()
    );
    let wrong = waypoint(
        "way",
        "",
        "from: Selector, selector: {matchExpressions: [{key: a, operator: Is}]}",
    );
    let error = ask(&format!("{wrong}{}", of_reviews()), &[]).expect_err("text should be rejected");
    let error = error.to_string();
    assert!(
        error.contains("unknown `operator` `Is`: expected one of In, NotIn"),
        "{error}"
    );
}

/// The waypoint's namespace comes first, then the root namespace, then that of the service.
#[test]
fn waypoint_runs_own_then_root_then_service_plugins() {
    let class = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]";
    let text = [
        waypoint("way", "", "from: All"),
        of_reviews(),
        plugin("root", "istio-system", class),
        plugin(
            "own",
            "infra",
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: way}]",
        ),
        plugin(
            "high",
            "shop",
            "priority: 1, targetRefs: [{kind: Service, name: reviews}]",
        ),
        // Attached to the Service in the plugin's own namespace, which is a different Service.
        plugin(
            "other",
            "infra",
            "targetRefs: [{kind: Service, name: reviews}]",
        ),
        plugin("whole", "shop", ""),
        service("reviews", "shop", WAY),
        service("reviews", "infra", NONE),
    ]
    .concat();
    let answer = answer(&text, &[]).expect("order should be computed");
    let way = &answer.workloads[0];
    assert_eq!(
        chains(way),
        [
            "waypoint: own root",
            "waypoint Service/reviews in shop: high own root p",
        ]
    );
    let left_out: Vec<_> = way.left_out.iter().map(|it| it.id.name.as_str()).collect();
    assert_eq!(left_out, ["other", "whole"]);
    assert_eq!(answer.unused[0].id.name, "other");
    let p = serde_json::to_string(way).expect("valid JSON");
    assert!(
        p.contains("neither has a priority, and plugins of the root namespace run first"),
        "{p}"
    );
}

#[test]
fn waypoints_are_inferred_from_labels_without_workloads() {
    let workloads = |documents: &[String]| {
        let text = format!("{}{}", of_reviews(), documents.concat());
        let ordered = ask(&text, &[]).expect("order should be computed");
        let workloads = ordered.iter().map(|it| it.workload.to_string());
        workloads.collect::<Vec<_>>()
    };
    assert_eq!(workloads(&[]), ["waypoint Gateway/waypoint in shop"]);
    assert_eq!(
        workloads(&[service("reviews", "shop", WAY)]),
        ["waypoint Gateway/way in infra"]
    );
    assert!(workloads(&[namespace("shop", NONE)]).is_empty());
}
