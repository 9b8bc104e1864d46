//! `manifest envoy`: the contents and the files. Whether Envoy accepts them is tested in `envoy`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::shipping::registries;
use crate::tool::{Folder, component, module, text, tidegate};

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
fn manifest_embeds_modules_by_default() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let config = folder.file("config.json", "{ \"b\": 1,\n \"a\": 2 }");
    let done = tidegate([
        "manifest",
        "envoy",
        "--upstream",
        "http://127.0.0.1:9000",
        &path,
        &format!("{path}=@{config}"),
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

/// Envoy passes any bytes on to the plugin.
#[test]
fn manifest_envoy_supports_arbitrary_configuration() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let key = "-----BEGIN PUBLIC KEY-----\nMIIB\n";
    let bytes = folder.file("key.der", [0xff, 0, 0xfe]);
    for (configuration, kind, value) in [
        (key.to_owned(), "StringValue", key),
        (format!("@{bytes}"), "BytesValue", "/wD+"),
    ] {
        let done = tidegate([
            "manifest",
            "envoy",
            "--upstream",
            "http://127.0.0.1:9000",
            &format!("{path}={configuration}"),
        ]);
        let plugins = plugins(done.succeeds());
        let given = &plugins[0]["configuration"];
        assert_eq!(
            given["@type"],
            format!("type.googleapis.com/google.protobuf.{kind}")
        );
        assert_eq!(given["value"], value);
    }
}

#[test]
fn manifest_envoy_has_the_settings_of_the_profile() {
    let folder = Folder::new();
    let path = folder.module("guard.wasm");
    for (profile, normalizes, server) in [
        ("envoy", Value::Null, Value::Null),
        ("istio", true.into(), "istio-envoy".into()),
        ("envoy-gateway", true.into(), Value::Null),
    ] {
        let command = ["manifest", "envoy", "--upstream", "http://h", &path];
        let done = tidegate(command.iter().chain(&["--profile", profile]));
        let bootstrap: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
        let listener = &bootstrap["static_resources"]["listeners"][0];
        let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(manager["normalize_path"], normalizes, "{profile}");
        assert_eq!(manager["server_name"], server, "{profile}");
    }
}

#[test]
fn manifest_envoy_has_clusters_for_calls() {
    let folder = Folder::new();
    let import = r#"(import "env" "proxy_http_call"
        (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let path = folder.file("caller.wasm", registries::module(import));
    let manifest = |more: &[&str]| {
        let command = ["manifest", "envoy", "--upstream", "http://h", &path];
        tidegate(command.iter().chain(more))
    };
    let done = manifest(&["--cluster", "auth=http://127.0.0.1:9001"]);
    let bootstrap: Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    let cluster = &bootstrap["static_resources"]["clusters"][1];
    assert_eq!(cluster["name"], "auth");
    assert_eq!(
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            ["port_value"],
        9001
    );
    assert_eq!(done.stderr, "");
    let done = manifest(&[]);
    done.succeeds();
    assert!(
        done.stderr.contains("caller.wasm` sends HTTP calls")
            && done.stderr.contains("--cluster NAME=URL"),
        "{}",
        done.stderr
    );
}

#[test]
fn manifest_references_modules_in_module_dir() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let modules = folder.path("made/modules");
    let output = folder.path("envoy.json");
    tidegate([
        "manifest",
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

/// A directory that contains plugins can also be the module directory: nothing is overwritten.
#[test]
fn manifest_keeps_components_in_module_dir() {
    let folder = Folder::new();
    let path = folder.file("greeter.wasm", component());
    let manifest = || {
        tidegate([
            "manifest",
            "envoy",
            "--upstream",
            "http://h",
            &path,
            "--module-dir",
            &text(&folder.path("")),
        ])
    };
    // The second run replaces its own module.
    for _ in 0..2 {
        let plugins = plugins(manifest().succeeds());
        let file = plugins[0]["vm_config"]["code"]["local"]["filename"]
            .as_str()
            .expect("a file");
        assert!(file.ends_with("/greeter.proxy.wasm"), "{file}");
        assert_eq!(folder.names(), ["greeter.proxy.wasm", "greeter.wasm"]);
        assert_eq!(fs::read(&path).expect("the component"), component());
    }
}

#[test]
fn manifest_does_not_overwrite_its_inputs() {
    let folder = Folder::new();
    let first = folder.file("greeter.wasm", component());
    let second = folder.module("greeter.proxy.wasm");
    tidegate([
        "manifest",
        "envoy",
        "--upstream",
        "http://h",
        &first,
        &second,
        "--module-dir",
        &text(&folder.path("")),
    ])
    .fails_with(&["would overwrite its source", "greeter.proxy.wasm"]);
    assert_eq!(folder.names(), ["greeter.proxy.wasm", "greeter.wasm"]);
    assert_eq!(fs::read(second).expect("the module"), module());
}

#[test]
fn manifest_writes_all_modules_or_none() {
    let folder = Folder::new();
    tidegate([
        "manifest",
        "envoy",
        "--upstream",
        "http://h",
        &folder.module("good.wasm"),
        &folder.file("broken.wasm", b"\0asm\x0d\0\x01\0broken"),
        "--module-dir",
        &text(&folder.path("modules")),
    ])
    .fails_with(&["cannot adapt", "broken.wasm"]);
    assert_eq!(folder.names(), ["broken.wasm", "good.wasm"]);
}

/// Both formats contain the same document.
#[test]
fn manifest_yaml_is_equivalent_to_json() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    // Strings that YAML could interpret as other types, and strings with line breaks.
    let plugin = format!("{path}={{\"a\": \"yes\",\n\"b\": \"# 1:2\", \"c\": null}}");
    let manifest = |format: &str| {
        let done = tidegate([
            "manifest",
            "envoy",
            "--upstream",
            "http://h",
            "--format",
            format,
            &plugin,
        ]);
        String::from_utf8(done.succeeds().to_vec()).expect("UTF-8")
    };
    let yaml = manifest("yaml");
    assert!(yaml.starts_with("static_resources:\n"), "{yaml}");
    let from_yaml: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    let from_json: Value = serde_json::from_str(&manifest("json")).expect("JSON");
    assert_eq!(from_yaml, from_json);
}

#[test]
fn manifest_reports_plugin_errors() {
    let folder = Folder::new();
    let path = folder.module("headers.wasm");
    let manifest = |plugin: &str| tidegate(["manifest", "envoy", "--upstream", "http://h", plugin]);
    manifest(&format!("{path}=@none.json")).lacks(&[
        "cannot read the configuration of",
        "headers.wasm",
        "`none.json`",
    ]);
    let file = folder.file("config.json", "{}");
    manifest(&format!("{path}={file}")).fails_with(&[
        "is a file, but it was passed as the configuration itself",
        &format!("=@{file}`"),
    ]);
    manifest(&folder.file("component.wasm", b"\0asm\x0d\0\x01\0"))
        .fails_with(&["cannot adapt", "component.wasm"]);
    manifest(&folder.file("text.wasm", "hello"))
        .fails_with(&["text.wasm` is not a WebAssembly binary"]);
}
