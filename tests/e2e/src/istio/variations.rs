//! Thousands of documents: whole documents with one change each, so that every field gets every kind of value.
//!
//! The fixtures contain a document for each rule. Here, documents are not written for specific rules: values are near the limits in Istio's
//! definitions, and near the differences between characters and bytes, absent and null, integers and other numbers.

use serde_json::{Value, json};

/// A document with one change.
pub struct Variation {
    /// A description of the change.
    pub change: String,
    /// A document of one of Istio's kinds.
    pub document: Value,
}

/// A complete document, and the parts of it that are changed.
struct Whole {
    document: Value,
    /// JSON pointers to the values that are changed, including all values below them. Parts that several documents have in common are
    /// changed in only one of them.
    changed: &'static [&'static str],
}

/// Returns the unchanged documents, followed by all variations.
pub fn all() -> Vec<Variation> {
    let mut all = Vec::new();
    for Whole { document, changed } in whole() {
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        all.push(Variation {
            change: format!("a whole {kind}"),
            document: document.clone(),
        });
        let mut places = Vec::new();
        walk(&document, String::new(), &mut places);
        places.retain(|place| changed.iter().any(|prefix| place.starts_with(prefix)));
        for place in &places {
            for (change, document) in changes(&document, place) {
                all.push(Variation {
                    change: format!("a {kind} with {place} {change}"),
                    document,
                });
            }
        }
    }
    all
}

/// Returns documents that together have every field, one for each way to select workloads, and one as printed by `kubectl get`.
fn whole() -> Vec<Whole> {
    let target = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway", "namespace": "" });
    let service = json!({ "group": "", "kind": "Service", "name": "waypoint" });
    let selector = json!({ "matchLabels": { "app": "shop", "istio.io/rev": "default" } });
    let wasm = json!({
        "url": "oci://registry.example.com/plugin:v1",
        "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "imagePullPolicy": "Always",
        "imagePullSecret": "registry",
        "verificationKey": "key",
        "pluginConfig": { "limit": 2, "names": ["a", null], "nothing": null },
        "pluginName": "plugin",
        "failStrategy": "FAIL_OPEN",
        "vmConfig": { "env": [
            { "name": "ONE", "value": "1", "valueFrom": "INLINE" },
            { "name": "TWO", "valueFrom": "HOST" },
        ] },
        "type": "HTTP",
    });
    let common = json!({
        "match": [
            { "mode": "SERVER", "ports": [{ "number": 80 }, { "number": 443 }] },
            { "mode": "CLIENT" },
        ],
        "phase": "AUTHN",
        "priority": 10,
    });
    let lua = json!({ "lua": { "inlineCode": "function envoy_on_request(handle) end" } });
    let of_wasm = json!({ "wasm": wasm });
    let mut exported = object(
        "WasmPlugin",
        &[&json!({ "url": "oci://registry.example.com/plugin:v1" })],
    );
    exported["metadata"] = json!({
        "name": "plugin",
        "generateName": "plug-",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "generation": 3,
        "uid": "6a4bcb2c-7b0c-4f7f-9a53-1d0f6d6f5b0e",
        "resourceVersion": "7",
        "selfLink": "/apis/extensions.istio.io/v1alpha1/namespaces/default/wasmplugins/plugin",
        "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": { "f:url": {} } } }],
    });
    exported["status"] = json!({
        "observedGeneration": 3,
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "message": "it runs",
            "lastProbeTime": "2026-01-02T03:04:05Z",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "observedGeneration": "3",
        }],
        "validationMessages": [{
            "level": "ERROR",
            "documentationUrl": "https://istio.io",
            "type": { "code": "IST0101", "name": "ReferencedResourceNotFound" },
        }],
    });
    vec![
        Whole {
            document: object(
                "WasmPlugin",
                &[&wasm, &common, &json!({ "selector": selector })],
            ),
            changed: &["/metadata", "/spec"],
        },
        Whole {
            document: object(
                "WasmPlugin",
                &[&wasm, &json!({ "targetRefs": [target, service] })],
            ),
            changed: &["/spec/targetRefs"],
        },
        Whole {
            document: object("WasmPlugin", &[&wasm, &json!({ "targetRef": target })]),
            changed: &["/spec/targetRef"],
        },
        Whole {
            document: object(
                "TrafficExtension",
                &[
                    &of_wasm,
                    &common,
                    &json!({ "targetRefs": [service, target] }),
                ],
            ),
            changed: &["/metadata", "/spec"],
        },
        Whole {
            document: object(
                "TrafficExtension",
                &[&lua, &json!({ "selector": selector })],
            ),
            changed: &["/spec/lua", "/spec/selector"],
        },
        Whole {
            document: exported,
            changed: &["/status"],
        },
    ]
}

fn object(kind: &str, parts: &[&Value]) -> Value {
    let mut spec = serde_json::Map::new();
    for part in parts {
        spec.extend(
            part.as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": "plugin",
            "namespace": "shop",
            "labels": { "app.kubernetes.io/name": "plugin" },
            "annotations": { "example.com/owner": "team" },
        },
        "spec": spec,
    })
}

/// Collects pointers to all values below the root.
fn walk(value: &Value, place: String, places: &mut Vec<String>) {
    let mut below = |key: &str, value| {
        // Escaped as specified in RFC 6901.
        let key = key.replace('~', "~0").replace('/', "~1");
        let place = format!("{place}/{key}");
        places.push(place.clone());
        walk(value, place, places);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(&index.to_string(), value)),
        _ => {}
    }
}

/// Returns all changes at one place.
fn changes(document: &Value, place: &str) -> Vec<(String, Value)> {
    let mut changed = Vec::new();
    let mut edit = |change: String, edit: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        edit(&mut document);
        changed.push((change, document));
    };
    let mut values = others();
    match document.pointer(place) {
        Some(Value::String(_)) => values.extend(words().chain(lengths(place))),
        _ => values.extend(words().take(4)),
    }
    for value in values {
        edit(format!("set to {}", short(&value)), &|document| {
            if let Some(there) = document.pointer_mut(place) {
                *there = value.clone();
            }
        });
    }
    let (parent, key) = place.rsplit_once('/').unwrap_or(("", place));
    let key = key.replace("~1", "/").replace("~0", "~");
    edit(
        "taken away".to_owned(),
        &|document| match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => _ = fields.remove(&key),
            Some(Value::Array(items)) => {
                if let Ok(index) = key.parse() {
                    _ = items.remove(index);
                }
            }
            _ => {}
        },
    );
    for name in ["unknown", "", "*", "a/b/c", "A_b", &"k".repeat(64), "y"] {
        for value in [json!("x"), json!(1), json!(null), json!({})] {
            if matches!(document.pointer(place), Some(Value::Object(_))) {
                edit(format!("given a field `{name}`: {value}"), &|document| {
                    if let Some(Value::Object(fields)) = document.pointer_mut(place) {
                        fields.insert(name.to_owned(), value.clone());
                    }
                });
            }
        }
    }
    if let Some(Value::Array(items)) = document.pointer(place) {
        for value in items
            .iter()
            .take(1)
            .cloned()
            .chain([json!(null), json!({}), json!("x")])
        {
            edit(format!("given an item {}", short(&value)), &|document| {
                if let Some(Value::Array(items)) = document.pointer_mut(place) {
                    items.push(value.clone());
                }
            });
        }
        for count in [16, 17, 256, 257] {
            edit(format!("repeated to {count} items"), &|document| {
                if let Some(Value::Array(items)) = document.pointer_mut(place) {
                    let first = items.first().cloned().unwrap_or_default();
                    *items = (0..count).map(|number| numbered(&first, number)).collect();
                }
            });
        }
    }
    changed
}

/// Returns a copy of an item with another name and number, so that it is unique.
fn numbered(item: &Value, number: usize) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        if let Some(name) = fields.get_mut("name") {
            *name = json!(format!("name-{number}"));
        }
        if let Some(port) = fields.get_mut("number") {
            *port = json!(number + 1);
        }
    }
    item
}

/// Values that are not words.
fn others() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(65535),
        json!(65536),
        json!(2_147_483_647),
        json!(2_147_483_648_u32),
        json!(-2_147_483_648_i32),
        json!(-2_147_483_649_i64),
        json!(9_223_372_036_854_775_807_i64),
        json!(18_446_744_073_709_551_615_u64),
        json!(1e3),
        json!(1e20),
        json!([]),
        json!(["x"]),
        json!([null]),
        json!([{}]),
        json!([{ "name": "x", "kind": "Gateway", "group": "gateway.networking.k8s.io", "number": 1 }]),
        json!({}),
        json!({ "x": "y" }),
        json!({ "x": null }),
        json!({ "name": "x", "kind": "Service", "number": 1 }),
        json!({ "matchLabels": { "": "x" } }),
        json!({ "matchLabels": { "a*": "x" } }),
        json!({ "url": "oci://x.example.com/y" }),
    ]
}

/// Words that have a meaning in some field, and words that are not valid names.
fn words() -> impl Iterator<Item = Value> {
    [
        "",
        "x",
        "*",
        "1",
        " ",
        "X",
        "x ",
        "x\n",
        "a*b",
        "-x",
        "x-",
        "x.y",
        "x..y",
        "x/y",
        "x_y",
        "1e3",
        "true",
        "null",
        "ä",
        "\u{0}",
        "HTTP",
        "NETWORK",
        "UNSPECIFIED_PLUGIN_TYPE",
        "HOST",
        "INLINE",
        "FAIL_CLOSE",
        "FAIL_CLOSED",
        "FAIL_RELOAD",
        "fail_open",
        "2026-01-02T03:04:05Z",
        "IfNotPresent",
        "UNSPECIFIED_POLICY",
        "Never",
        "UNSPECIFIED",
        "UNSPECIFIED_PHASE",
        "AUTHZ",
        "STATS",
        "UNDEFINED",
        "CLIENT_AND_SERVER",
        "Gateway",
        "GatewayClass",
        "Service",
        "ServiceEntry",
        "core",
        "networking.istio.io",
        "gateway.networking.k8s.io",
        "file:///plugin.wasm",
        "http://x.example.com/y.wasm",
        "https://x",
        "ftp://x.example.com/y",
        "OCI://x.example.com/y",
        "x.example.com:5000/y",
        "127.0.0.1:5000/y:v1",
        "oci://",
        "oci://x y",
        "oci://x.example.com/%zz",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ]
    .into_iter()
    .map(Value::from)
}

/// Strings with lengths around the limits, in characters and in bytes: `ä` consists of two bytes.
fn lengths(place: &str) -> impl Iterator<Item = Value> {
    let bounds: &[usize] = match place.ends_with("/inlineCode") {
        true => &[65536],
        false => &[63, 253, 256, 2048],
    };
    bounds.iter().flat_map(|bound| {
        [
            "x".repeat(*bound),
            "x".repeat(bound + 1),
            "ä".repeat(bound / 2),
            "ä".repeat(bound / 2 + 1),
            "ä".repeat(*bound),
            "ä".repeat(bound + 1),
        ]
        .map(Value::from)
    })
}

/// Formats a value, shortened for display.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
