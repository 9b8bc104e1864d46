//! `--format json`: `docs/json.md` documents every key of the output.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::author::tidegate_in;
use crate::tool::{Folder, component, tidegate};

const PLUGINS: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: a, namespace: shop}
spec: {url: \"oci://h.io/aa/b:1\", phase: AUTHN, selector: {matchLabels: {app: web}}}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: b, namespace: shop}
spec: {url: \"oci://h.io/aa/b:1\", priority: x, selector: {matchLabels: {app: other}}}
";

/// Keys whose members have names that users choose.
const MAPS: [&str; 3] = ["labels", "annotations", "schema"];

/// The keys in a document, at any depth.
pub fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                into.insert(key.clone());
                if !MAPS.contains(&key.as_str()) {
                    keys(value, into);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

/// Asserts that the page documents every key in the output of a command. Returns the number of keys.
pub fn assert_documented(command: &str, document: &Value) -> usize {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let page = fs::read_to_string(page).expect("docs/json.md");
    let (_, section) = page
        .split_once(&format!("\n## `tidegate {command}`\n"))
        .unwrap_or_else(|| panic!("no section about `{command}`"));
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut found = BTreeSet::new();
    keys(document, &mut found);
    for key in &found {
        assert!(section.contains(&format!("`{key}`")), "{command}: `{key}`");
    }
    found.len()
}

#[test]
fn every_key_is_documented() {
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", component());
    let wrong = folder.file("wrong.yaml", PLUGINS);
    let plugins = folder.file("plugins.yaml", PLUGINS.replace("x,", "1,"));
    fs::create_dir(folder.path("scenarios")).expect("a folder");
    folder.file(
        "scenarios/wrong.yaml",
        "about: x\nsteps:\n- request: { path: /, expect: { status: 299 } }\n",
    );
    let mut count = 0;
    for call in [
        &["inspect", &plugin][..],
        &["check", &plugin, &wrong],
        &["chain", "-f", &plugins, "--workload", "shop/app=web"],
        &["doctor"],
        &["test", "--plugin", "plugin.wasm"],
    ] {
        let arguments = [call, &["--format", "json"]].concat();
        let done = match call[0] {
            "test" => tidegate_in(&folder.path(""), &arguments),
            _ => tidegate(&arguments),
        };
        let document: Value = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|error| panic!("{call:?}: {error}: {}", done.stderr));
        count += assert_documented(call[0], &document);
    }
    assert!(count > 50, "{count} keys");
}
