//! `manifest`: what is put together, and where it goes. Whether Envoy runs it is for the scenario runner.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tool::{Folder, module, text, tidegate};

/// The plugins' `PluginConfig`s.
fn plugins(bootstrap: &[u8]) -> Vec<Value> {
    let bootstrap: Value = serde_json::from_slice(bootstrap).expect("JSON");
    let manager = &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        ["typed_config"];
    let filters = manager["http_filters"].as_array().expect("filters").iter();
    filters
        .map(|filter| filter["typed_config"]["config"].clone())
        .filter(|config| !config.is_null())
        .collect()
}

#[test]
fn manifest_has_modules_inside() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let config = folder.file("config.json", "{ \"b\": 1,\n \"a\": 2 }");
    let done = tidegate([
        "manifest",
        "--kind",
        "envoy",
        "--upstream",
        "http://127.0.0.1:9000",
        &path,
        &format!("{path}={config}"),
    ]);
    let plugins = plugins(done.succeeds());
    assert_eq!(
        (&plugins[0]["name"], &plugins[1]["name"]),
        (&"headers".into(), &"headers-2".into())
    );
    assert_eq!(plugins[0]["configuration"], Value::Null);
    assert_eq!(
        plugins[1]["configuration"]["value"],
        "{ \"b\": 1,\n \"a\": 2 }"
    );
    let inline = plugins[0]["vm_config"]["code"]["local"]["inline_bytes"]
        .as_str()
        .expect("bytes");
    assert_eq!(inline.len(), module().len().div_ceil(3) * 4);
}

#[test]
fn manifest_names_modules_in_a_folder() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let modules = folder.path("made/modules");
    let output = folder.path("envoy.json");
    tidegate([
        "manifest",
        "--kind",
        "envoy",
        "--upstream",
        "http://127.0.0.1:9000",
        &path,
        "--module-dir",
        &text(&modules),
        "-o",
        &text(&output),
    ])
    .succeeds();
    let plugins = plugins(&fs::read(output).expect("the manifest"));
    let file = plugins[0]["vm_config"]["code"]["local"]["filename"]
        .as_str()
        .expect("a file");
    assert!(Path::new(file).is_absolute());
    assert_eq!(fs::read(file).expect("the module"), module());
}

#[test]
fn manifest_is_yaml_when_asked() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let done = tidegate([
        "manifest",
        "--kind",
        "envoy",
        "--upstream",
        "http://h",
        "--format",
        "yaml",
        &path,
    ]);
    let yaml = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(yaml.starts_with("static_resources:\n"), "{yaml}");
}

#[test]
fn manifest_says_what_is_wrong_with_a_plugin() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let manifest = |plugin: &str| {
        tidegate([
            "manifest",
            "--kind",
            "envoy",
            "--upstream",
            "http://h",
            plugin,
        ])
    };
    manifest(&format!("{path}=none.json")).fails_with(&[
        "cannot read the configuration of",
        "headers.wasm",
        "`none.json`",
    ]);
    manifest(&format!("{path}={{\"a\": }}")).fails_with(&[
        "the configuration of",
        "is not JSON",
        "line 1 column 7",
    ]);
    manifest(&format!("{path}={}", folder.file("bad.json", "{]")))
        .fails_with(&["bad.json` is not JSON", "line 1 column 2"]);
    manifest(&folder.file("component.wasm", b"\0asm\x0d\0\x01\0"))
        .fails_with(&["cannot adapt", "component.wasm"]);
    manifest(&folder.file("text.wasm", "hello"))
        .fails_with(&["text.wasm` is not a WebAssembly binary"]);
}
