//! `order`: the table and the JSON. The rules are tested where they are.

use serde_json::Value;

use crate::tool::{Folder, tidegate};

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
                            istio.metadata_exchange                who the peer is
                            envoy.filters.http.ext_authz           AuthorizationPolicies with action CUSTOM, if any
                            envoy.filters.http.jwt_authn           RequestAuthentications, if any
  1  AUTHZ               -  WasmPlugin shop/limiter                selector app=web; only port 80
                            envoy.filters.http.rbac                AuthorizationPolicies, if any
  2  UNSPECIFIED        10  TrafficExtension istio-system/headers  for the whole mesh
                            envoy.filters.http.grpc_stats          statistics of gRPC
                            envoy.filters.http.fault               faults of VirtualServices
                            envoy.filters.http.cors                corsPolicy of VirtualServices
                            istio.stats                            Istio's metrics
                            envoy.filters.http.router              sends the request on

Workload app=web in shop, outbound requests
";

#[test]
fn order_is_a_table() {
    let folder = Folder::new();
    let file = folder.file("plugins.yaml", PLUGINS);
    let done = tidegate(["order", "-f", &file, "--workload", "shop/app=web"]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(table.starts_with(TABLE), "{table}");
    let end = "\n  not WasmPlugin shop/other: its selector wants app=api\n";
    assert!(table.ends_with(end), "{table}");
    let file = folder.file("reference.yaml", REFERENCE);
    let done = tidegate(["order", "-f", &file]);
    let table = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    let titles: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("Waypoint"))
        .collect();
    assert_eq!(
        titles,
        [
            "Waypoint Gateway/waypoint in shop, all requests: no plugin",
            "Waypoint Gateway/waypoint in shop, all requests to Service/reviews",
        ]
    );
}

#[test]
fn order_is_json_when_asked() {
    let folder = Folder::new();
    let file = folder.file("plugins.yaml", PLUGINS);
    let done = tidegate(["order", "-f", &file, "--format", "json"]);
    let all: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    let workloads = all.as_array().expect("workloads");
    // Two selectors and the rest of their namespace, and what the root's plugin is for.
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
    assert_eq!(workloads[1]["leftOut"][0]["name"], "other");
}

#[test]
fn order_says_where_it_cannot_read() {
    let folder = Folder::new();
    let order = |text: &str| tidegate(["order", "-f", &folder.file("a.yaml", text)]);
    order(&PLUGINS.replace("AUTHZ", "LATE"))
        .fails_with(&["a.yaml:6:10: `phase` is `LATE`", "tidegate validate"]);
    order("a: [\n").fails_with(&["cannot read", "a.yaml"]);
    order("kind: ConfigMap\n").fails_with(&["there is no WasmPlugin", "a.yaml"]);
    order("a: \u{1b}[31m\n").fails_with(&["a.yaml"]);
    tidegate(["order", "-f", "none.yaml"]).fails_with(&["cannot read `none.yaml`"]);
    tidegate(["order"]).misses("--file");
    tidegate(["order", "-f", "a.yaml", "--workload", "/a=b"]).misses("is not a workload");
}
