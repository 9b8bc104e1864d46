//! `chain`: files and directories as input, table and JSON as output. The rules are tested in `deploy`.

use serde_json::Value;

use crate::tool::{Folder, tidegate, tidegate_with};

const PLUGINS: &str = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: limiter, namespace: shop}
spec:
  url: oci://h.io/limiter@sha256:00
  phase: AUTHZ
  selector: {matchLabels: {app: web}}
  match: [{ports: [{number: 80}]}]
---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: headers, namespace: istio-system}
spec:
  priority: 10
  wasm: {url: 'oci://h.io/headers@sha256:00'}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: other, namespace: shop}
spec:
  url: oci://h.io/other@sha256:00
  selector: {matchLabels: {app: api}}
";

const REFERENCE: &str = "\
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: lua, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: reviews}]
  lua: {inlineCode: x}
";

const TABLE: &str = "\
Workload app=web in shop, inbound requests
  #  PHASE        PRIORITY  FILTER                                 WHY
                            istio.metadata_exchange                identifies the peer
                            envoy.filters.http.ext_authz           AuthorizationPolicies with action CUSTOM, if any
                            envoy.filters.http.jwt_authn           RequestAuthentications, if any
  1  AUTHZ               -  WasmPlugin shop/limiter                selector app=web; only port 80
                            envoy.filters.http.rbac                AuthorizationPolicies, if any
  2  UNSPECIFIED        10  TrafficExtension istio-system/headers  for the whole mesh
                            envoy.filters.http.grpc_stats          gRPC statistics
                            envoy.filters.http.fault               fault injection of VirtualServices
                            envoy.filters.http.cors                CORS policies of VirtualServices
                            istio.stats                            Istio's metrics
                            envoy.filters.http.router              forwards the request

Workload app=web in shop, outbound requests
";

#[test]
fn chain_prints_a_table() {
    let folder = Folder::new();
    let file = folder.file("plugins.yaml", PLUGINS);
    let done = tidegate(["chain", "-f", &file, "--workload", "shop/app=web"]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(table.starts_with(TABLE), "{table}");
    let end = "\n  not WasmPlugin shop/other: its selector requires app=api\n";
    assert!(table.ends_with(end), "{table}");
    let file = folder.file("reference.yaml", REFERENCE);
    let done = tidegate(["chain", "-f", &file]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    let titles: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("Waypoint"))
        .collect();
    assert_eq!(
        titles,
        [
            "Waypoint Gateway/waypoint in shop, all requests: no plugin",
            "Waypoint Gateway/waypoint in shop, all requests to Service/reviews in shop",
        ]
    );
}

#[test]
fn chain_prints_json() {
    let folder = Folder::new();
    let file = folder.file("plugins.yaml", PLUGINS);
    let done = tidegate(["chain", "-f", &file, "--format", "json"]);
    let all: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    let workloads = all["workloads"].as_array().expect("workloads");
    assert_eq!(all["envoy-filters"], 0);
    assert_eq!(done.stderr, "");
    // Two selectors, the rest of their namespace, and the workloads of the root namespace's plugin.
    assert_eq!(workloads.len(), 4, "{all:#}");
    assert_eq!(workloads[1]["labels"]["app"], "web");
    let steps = workloads[1]["chains"][0]["steps"]
        .as_array()
        .expect("steps");
    let plugins: Vec<_> = steps.iter().filter(|step| step["by"] == "plugin").collect();
    assert_eq!(plugins[0]["name"], "limiter");
    assert_eq!(plugins[0]["phase"], "AUTHZ");
    assert_eq!(plugins[0]["ports"][0], 80);
    assert_eq!(plugins[1]["kind"], "TrafficExtension");
    assert_eq!(workloads[1]["left-out"][0]["name"], "other");
}

#[test]
fn chain_reads_directories_and_stdin() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("nested")).expect("a folder");
    let (first, second) = PLUGINS.split_once("---\n").expect("documents");
    folder.file("b.yaml", first);
    folder.file("nested/c.yml", second);
    folder.file("README.md", "# No manifest: [");
    let all = tidegate_with(["chain", "-f", "-"], PLUGINS.as_bytes());
    let root = folder.path("").display().to_string();
    let done = tidegate(["chain", "--filename", &root]);
    assert_eq!(done.succeeds(), all.succeeds());
    let workload = "shop/app=web";
    let done = tidegate(["chain", "-f", &root, "--workload", workload]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(table.starts_with(TABLE), "{table}");
    let nested = folder.path("nested").display().to_string();
    folder.file(
        "nested/c.yml",
        second.replace("priority: 10", "priority: ten"),
    );
    tidegate(["chain", "-f", &nested]).fails_with(&["c.yml:5:13: `priority` is not"]);
    std::fs::remove_file(folder.path("nested/c.yml")).expect("a file");
    tidegate(["chain", "-f", &nested]).fails_with(&["contains no .yaml"]);
}

/// EnvoyFilters, which `manifest` can generate, are not evaluated, and this is reported.
#[test]
fn chain_reports_ignored_envoy_filters() {
    let folder = Folder::new();
    let module = folder.module("plugin.wasm");
    let filter = tidegate([
        "manifest",
        "envoy-filter",
        &module,
        "--url",
        "oci://h.io/plugin@sha256:5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a",
        "--context",
        "GATEWAY",
    ]);
    let filter = folder.file("filter.yaml", filter.succeeds());
    let dropped = "127.0.0.1:5000/y:1";
    let plugins = PLUGINS.replace("oci://h.io/limiter@sha256:00", dropped);
    let plugins = folder.file("plugins.yaml", plugins);
    let note = "1 EnvoyFilter is ignored\n";
    let done = tidegate(["chain", "-f", &plugins, &filter, "-w", "shop/app=web"]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert_eq!(done.stderr, note);
    assert!(!table.contains("  1  AUTHZ"), "{table}");
    assert!(
        table.contains(
            "\n  not WasmPlugin shop/limiter: istiod cannot parse its url (the first path segment"
        ),
        "{table}"
    );
    let done = tidegate(["chain", "-f", &plugins, &filter, "--format", "json"]);
    let all: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    assert_eq!(all["envoy-filters"], 1);
    assert_eq!(done.stderr, note);
    tidegate(["chain", "-f", &filter]).fails_with(&[
        "found no WasmPlugin and no TrafficExtension in",
        "and 1 EnvoyFilter is ignored",
    ]);
}

/// The output of `kubectl get … -o yaml`, with the Gateway's class.
#[test]
fn chain_finds_workloads_in_lists() {
    let folder = Folder::new();
    let mesh = "\
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: nightly, namespace: shop}
  spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: api}}}}}}
- apiVersion: gateway.networking.k8s.io/v1
  kind: Gateway
  metadata: {name: way, namespace: shop}
  spec: {gatewayClassName: ours}
- apiVersion: gateway.networking.k8s.io/v1
  kind: GatewayClass
  metadata: {name: ours}
  spec: {controllerName: istio.io/mesh-controller}
";
    let plugins = folder.file("plugins.yaml", PLUGINS);
    let done = tidegate(["chain", "-f", &plugins, &folder.file("mesh.yaml", mesh)]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    for title in [
        "Workload CronJob/nightly in shop, inbound requests\n",
        "Waypoint Gateway/way in shop, all requests: no plugin\n",
    ] {
        assert!(table.contains(title), "{table}");
    }
    let help = tidegate(["chain", "--help"]);
    let help = String::from_utf8(help.succeeds().to_vec()).expect("UTF-8");
    for kind in ["ReplicationControllers", "CronJobs", "Argo Rollouts"] {
        assert!(help.contains(kind), "{help}");
    }
}

/// Labels of a service select a waypoint in another namespace, or none, so that its plugins have no effect.
#[test]
fn chain_follows_waypoint_labels_of_services() {
    let folder = Folder::new();
    let plugin = folder.file("plugin.yaml", REFERENCE);
    let chain = |labels: &str, format: &str| {
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: reviews, namespace: shop, labels: {{{labels}}}}}\n"
        );
        let service = folder.file("service.yaml", service);
        let done = tidegate(["chain", "-f", &plugin, &service, "--format", format]);
        String::from_utf8(done.succeeds().to_vec()).expect("UTF-8")
    };
    let elsewhere = "istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: infra";
    let table = chain(elsewhere, "text");
    let title = "Waypoint Gateway/way in infra, all requests to Service/reviews in shop\n";
    assert!(table.contains(title), "{table}");
    let all: Value = serde_json::from_str(&chain(elsewhere, "json")).expect("JSON");
    assert_eq!(
        all["workloads"][0]["chains"][1]["service"],
        serde_json::json!({ "kind": "Service", "namespace": "shop", "name": "reviews" })
    );
    assert_eq!(
        chain("istio.io/use-waypoint: none", "text"),
        "Plugins of services that no waypoint handles\n  TrafficExtension shop/lua: it is attached to Service/reviews in shop, which uses no waypoint: its label istio.io/use-waypoint is `none`\n"
    );
    let all: Value =
        serde_json::from_str(&chain("istio.io/use-waypoint: none", "json")).expect("JSON");
    assert_eq!(all["unused"][0]["name"], "lua");
}

#[test]
fn chain_reports_unreadable_or_invalid_input() {
    let folder = Folder::new();
    let order = |text: &str| tidegate(["chain", "-f", &folder.file("a.yaml", text)]);
    order(&PLUGINS.replace("AUTHZ", "LATE")).fails_with(&["a.yaml:6:10: unknown `phase` `LATE`"]);
    order("kind: List\nitems:\n- {kind: List, items: []}\n").fails_with(&[
        "a.yaml:3:3: is a List inside a List",
        "kubectl does not support",
    ]);
    order("a: [\n").fails_with(&["a.yaml:1:4: unclosed bracket"]);
    order("kind: ConfigMap\n").fails_with(&["found no WasmPlugin", "a.yaml"]);
    order("a: \u{1b}[31m\n").fails_with(&["a.yaml"]);
    tidegate(["chain", "-f", "none.yaml"]).lacks(&["cannot read `none.yaml`"]);
    tidegate(["chain"]).misses("--filename");
    for workload in ["/a=b", "app=web", "a.b/app=web"] {
        tidegate(["chain", "-f", "a.yaml", "--workload", workload]).misses("is not a workload");
    }
    for option in ["--namespace", "--root-namespace"] {
        tidegate(["chain", "-f", "a.yaml", option, "a.b"]).misses("`a.b` is not a valid namespace");
    }
}
