//! `manifest` for Kubernetes resources: from arguments to a document. The contents of documents are tested in `deploy`.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::tool::{Done, Folder, component, tidegate};

const DIGEST: &str = "0123456789012345678901234567890123456789012345678901234567890123";
const URL: &str = "oci://127.0.0.1:5000/plugins/limiter:1.0";

/// A plugin with a name and a schema.
fn limiter() -> Vec<u8> {
    let metadata = json!({
        "name": "rate_limiter",
        "version": "1.0.0",
        "schema": {
            "type": "object",
            "properties": {
                "limit": { "type": "integer", "minimum": 1 },
                "y": { "type": "string" },
                "id": {},
            },
            "required": ["limit"],
            "additionalProperties": false,
        },
    });
    let metadata = metadata.to_string().replace('"', "\\\"");
    wat::parse_str(format!(
        r#"(module
          (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0)
          (func (export "proxy_on_log") (param i32))
          (@custom "tidegate-plugin" "{metadata}"))"#
    ))
    .expect("a module")
}

/// Runs `tidegate manifest` with the limiter.
fn manifest(kind: &str, configuration: &str, more: &[&str]) -> Done {
    let folder = Folder::new();
    let plugin = folder.file("limiter.wasm", limiter());
    let plugin = match configuration {
        "" => plugin,
        configuration => format!("{plugin}={configuration}"),
    };
    tidegate(["manifest", kind, &plugin].iter().chain(more))
}

#[track_caller]
fn document(done: &Done) -> Value {
    let text = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    let documents = tidegate_deploy::yaml::parse(&text).expect("YAML");
    documents[0].root.to_json()
}

#[test]
fn manifest_wasm_plugin_reflects_every_flag() {
    let done = manifest(
        "wasm-plugin",
        r#"{"limit": 10, "y": "on"}"#,
        &[
            "--url",
            URL,
            "--sha256",
            DIGEST,
            "--namespace",
            "shop",
            "--selector",
            "app=web,tier=front",
            "--phase",
            "AUTHZ",
            "--priority",
            "-5",
            "--fail-strategy",
            "FAIL_RELOAD",
            "--image-pull-secret",
            "registry",
            "--image-pull-policy",
            "IfNotPresent",
            "--match-mode",
            "SERVER",
            "--port",
            "80",
            "--port",
            "8080",
            "--env",
            "TZ=UTC",
            "--env",
            "HOSTNAME",
            "--type",
            "HTTP",
            "--plugin-name",
            "limiter",
        ],
    );
    assert_eq!(
        document(&done),
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": { "name": "rate-limiter", "namespace": "shop" },
            "spec": {
                "selector": { "matchLabels": { "app": "web", "tier": "front" } },
                "url": format!("{URL}@sha256:{DIGEST}"),
                "sha256": DIGEST,
                "imagePullPolicy": "IfNotPresent",
                "imagePullSecret": "registry",
                "pluginName": "limiter",
                "type": "HTTP",
                "failStrategy": "FAIL_RELOAD",
                "pluginConfig": { "limit": 10, "y": "on" },
                "vmConfig": { "env": [
                    { "name": "TZ", "value": "UTC" },
                    { "name": "HOSTNAME", "valueFrom": "HOST" },
                ] },
                "phase": "AUTHZ",
                "priority": -5,
                "match": [{ "mode": "SERVER", "ports": [{ "number": 80 }, { "number": 8080 }] }],
            },
        })
    );
}

#[test]
fn manifest_generates_each_kind() {
    let url = format!("{URL}@sha256:{DIGEST}");
    let config = r#"{"limit": 1, "id": 9007199254740993}"#;
    let small = r#"{"limit": 1}"#;
    let extension = document(&manifest(
        "traffic-extension",
        small,
        &[
            "--url",
            &url,
            "--name",
            "mine",
            "--target-ref",
            "Gateway/public",
        ],
    ));
    assert_eq!(extension["kind"], "TrafficExtension");
    assert_eq!(extension["metadata"]["name"], "mine");
    assert_eq!(
        extension["spec"]["wasm"]["pluginConfig"],
        json!({ "limit": 1 })
    );
    assert_eq!(extension["spec"]["targetRefs"][0]["kind"], "Gateway");

    let policy = document(&manifest(
        "envoy-extension-policy",
        config,
        &[
            "--url",
            &url,
            "--target-ref",
            "HTTPRoute/web",
            "--merge-type",
            "StrategicMerge",
            "--fail-strategy",
            "FAIL_OPEN",
            "--env",
            "HOSTNAME",
            "--image-pull-secret",
            "registry",
        ],
    ));
    assert_eq!(policy["kind"], "EnvoyExtensionPolicy");
    assert_eq!(policy["spec"]["mergeType"], "StrategicMerge");
    let wasm = &policy["spec"]["wasm"][0];
    assert_eq!(wasm["failOpen"], true);
    assert_eq!(wasm["env"]["hostKeys"], json!(["HOSTNAME"]));
    assert_eq!(wasm["config"]["id"], json!(9_007_199_254_740_993_i64));
    assert_eq!(wasm["code"]["image"]["pullSecretRef"]["name"], "registry");

    let filter = document(&manifest(
        "envoy-filter",
        config,
        &[
            "--url",
            &url,
            "--context",
            "GATEWAY",
            "--selector",
            "istio=ingressgateway",
        ],
    ));
    let plugin = &filter["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"];
    assert_eq!(plugin["configuration"]["value"], config);
    assert_eq!(
        plugin["capability_restriction_config"]["allowed_capabilities"],
        json!({ "proxy_log": {}, "proxy_on_log": {}, "random_get": {} })
    );
}

#[test]
fn manifest_of_component_describes_adapted_module() {
    let folder = Folder::new();
    let path = folder.file("all.wasm", component());
    let url = format!("{URL}@sha256:{DIGEST}");
    let filter = document(&tidegate([
        "manifest",
        "envoy-filter",
        &path,
        "--url",
        &url,
        "--context",
        "SIDECAR_OUTBOUND",
    ]));
    let plugin = &filter["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"];
    let allowed = plugin["capability_restriction_config"]["allowed_capabilities"]
        .as_object()
        .expect("capabilities");
    for name in [
        "proxy_on_request_headers",
        "proxy_on_configure",
        "proxy_log",
    ] {
        assert!(allowed.contains_key(name), "{name} in {allowed:?}");
    }
    assert!(
        !allowed.contains_key("proxy_on_memory_allocate"),
        "{allowed:?}"
    );
}

#[test]
fn manifest_validates_configuration_against_the_schema() {
    let refuses = |configuration: &str, parts: &[&str]| {
        let url = format!("{URL}@sha256:{DIGEST}");
        let done = manifest("wasm-plugin", configuration, &["--url", &url]);
        assert!(!done.stderr.contains("\n\n"), "{}", done.stderr);
        done.fails_with(parts);
    };
    refuses(
        r#"{"limit": 0, "more": 1}"#,
        &[
            "limiter.wasm",
            "the plugin rejects this configuration",
            "at `/limit`",
            "'more'",
        ],
    );
    refuses("", &["the plugin requires a configuration", "limit"]);
    // Values that would be removed are not validated as part of the configuration.
    let nothing = manifest(
        "wasm-plugin",
        r#"{"limit": null}"#,
        &["--url", &format!("{URL}@sha256:{DIGEST}")],
    );
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        nothing.stderr.contains("is null at `/limit`")
            && nothing
                .stderr
                .contains("the plugin requires a configuration"),
        "{}",
        nothing.stderr
    );
    refuses(
        r#"{"limit": 1, "id": [1, 9007199254740993]}"#,
        &[
            "the number 9007199254740993 at `/id/1`",
            "would read 9007199254740992",
            "manifest envoy-filter",
        ],
    );
    let folder = Folder::new();
    let plugin = format!(
        "{}=@{}",
        folder.file("limiter.wasm", limiter()),
        folder.file("list.json", "[1]")
    );
    tidegate(["manifest", "wasm-plugin", &plugin, "--url", "oci://h.io/a"])
        .fails_with(&["list.json", "is not a JSON object"]);
    // A kind that can contain only JSON rejects other configurations before they are deployed.
    manifest(
        "wasm-plugin",
        "-----BEGIN PUBLIC KEY-----",
        &["--url", "oci://h.io/a"],
    )
    .fails_with(&["limiter.wasm", "the configuration is not JSON"]);
    // A bootstrap contains the unchanged bytes, and the schema is enforced, too.
    manifest("envoy", r#"{"limit": 0}"#, &["--upstream", "http://h"]).fails_with(&["at `/limit`"]);
    manifest(
        "envoy",
        r#"{"limit": 1, "id": 9007199254740993}"#,
        &["--upstream", "http://h"],
    )
    .succeeds();
}

#[test]
fn manifest_pins_the_module() {
    let config = r#"{"limit": 1}"#;
    let module: String = Sha256::digest(limiter())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    manifest("wasm-plugin", config, &["--url", URL])
        .fails_with(&["has no digest", "tidegate push"]);
    manifest("wasm-plugin", config, &["--url", URL, "--sha256", &module]).fails_with(&[
        "is the SHA-256 of the module",
        "an image requires the digest of its manifest",
    ]);
    manifest(
        "wasm-plugin",
        config,
        &["--url", "127.0.0.1:5000/pp:v1", "--sha256", DIGEST],
    )
    .fails_with(&["has no scheme"]);
    // On Docker Hub, repositories without an owner are in `library`. Proxies do not add that.
    let hub = document(&manifest(
        "wasm-plugin",
        config,
        &["--url", "oci://docker.io/greeter:v1", "--sha256", DIGEST],
    ));
    assert_eq!(
        hub["spec"]["url"],
        format!("oci://docker.io/library/greeter:v1@sha256:{DIGEST}")
    );
    let download = document(&manifest(
        "wasm-plugin",
        config,
        &["--url", "https://h/limiter.wasm"],
    ));
    assert_eq!(download["spec"]["sha256"], module);
}

#[test]
fn manifest_rejects_values_the_cluster_would_reject() {
    const IMAGE: [&str; 4] = ["--url", "oci://h.io/ab:1", "--sha256", DIGEST];
    let pinned = |name: &str| format!("oci://{name}@sha256:{DIGEST}");
    let long = "x".repeat(300);
    let wide = format!("{}=1", "\u{c9}".repeat(200));
    let (odd_host, odd_port) = (pinned("h^o/ab:v1"), pinned("h.io:x/ab:v1"));
    let (short, local) = (pinned("h.io/p:v1"), pinned("localhost/ab:v1"));
    let cases: [(&[&str], &str); 11] = [
        (&["--port", "80", "--port", "80"], "ports"),
        (&["--plugin-name", ""], "pluginName"),
        (&["--plugin-name", &long], "pluginName"),
        (&["--env", &wide], "env"),
        (&["--env", "ISTIO_META_X=1"], "ISTIO_META"),
        (&["--url", "https://h/%zz"], "url: `https"),
        (&["--url", "https://[::1/p.wasm"], "istiod cannot parse it"),
        (&["--url", &odd_host], "invalid URL"),
        (&["--url", &odd_port], "invalid URL"),
        (&["--url", &short], "invalid URL"),
        (&["--url", &local], "invalid URL"),
    ];
    for kind in ["wasm-plugin", "traffic-extension"] {
        for (arguments, message) in cases {
            let image = match arguments[0] {
                "--url" => &[][..],
                _ => &IMAGE,
            };
            manifest(kind, r#"{"limit": 1}"#, &[arguments, image].concat()).fails_with(&[message]);
        }
    }
    let twice = ["--target-ref", "Gateway/a", "--env", "X", "--env", "X"];
    manifest(
        "envoy-extension-policy",
        r#"{"limit": 1}"#,
        &[&twice[..], &IMAGE].concat(),
    )
    .fails_with(&["`X` is specified twice"]);
    for (target, message) in [
        ("TCPRoute/a", "runs no Wasm plugin there"),
        ("ListenerSet/a", "`ListenerSet/a` cannot be merged"),
    ] {
        let arguments = ["--target-ref", target, "--merge-type", "JSONMerge"];
        manifest(
            "envoy-extension-policy",
            r#"{"limit": 1}"#,
            &[&arguments[..], &IMAGE].concat(),
        )
        .fails_with(&[message]);
    }
}

#[test]
fn manifest_rejects_modules_envoy_cannot_load() {
    let folder = Folder::new();
    let text = r#"(module
      (import "env" "proxy_teleport" (func))
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0)
      (func (export "proxy_on_log") (param i32)))"#;
    let plugin = folder.file("plugin.wasm", wat::parse_str(text).expect("a module"));
    let image = ["--url", "oci://h.io/ab:1", "--sha256", DIGEST];
    for kind in [
        &["wasm-plugin"][..],
        &["envoy-filter", "--context", "GATEWAY"],
    ] {
        let arguments = [&["manifest"], kind, &[&plugin], &image].concat();
        tidegate(&arguments).fails_with(&["proxy_teleport"]);
    }
    tidegate(["manifest", "envoy", &plugin, "--upstream", "http://h"])
        .fails_with(&["proxy_teleport"]);
}

#[test]
fn manifest_rejects_flags_unsupported_by_the_kind() {
    let folder = Folder::new();
    let plugin = folder.module("plugin.wasm");
    let misses = |kind: &str, more: &[&str], message: &str| {
        let arguments = ["manifest", kind, &plugin];
        let done = tidegate(arguments.iter().chain(more));
        done.misses(message);
        assert!(done.stdout.is_empty());
    };
    let url = ["--url", "oci://h.io/ab:1", "--sha256", DIGEST];
    let with = |more: &[&'static str]| [&url[..], more].concat();
    misses(
        "envoy-extension-policy",
        &with(&["--target-ref", "Gateway/a", "--phase", "AUTHN"]),
        "unexpected argument '--phase'",
    );
    misses(
        "envoy-filter",
        &with(&["--context", "GATEWAY", "--image-pull-secret", "s"]),
        "unexpected argument '--image-pull-secret'",
    );
    misses(
        "wasm-plugin",
        &with(&["--context", "GATEWAY"]),
        "unexpected argument '--context'",
    );
    misses(
        "wasm-plugin",
        &with(&["--upstream", "http://h"]),
        "unexpected argument '--upstream'",
    );
    misses(
        "envoy",
        &["--upstream", "http://h", "--url", "oci://h.io/a"],
        "unexpected argument '--url'",
    );
    misses(
        "envoy-extension-policy",
        &with(&[
            "--target-ref",
            "Gateway/a",
            "--fail-strategy",
            "FAIL_RELOAD",
        ]),
        "FAIL_RELOAD",
    );
    misses(
        "envoy-extension-policy",
        &with(&["--target-ref", "HTTPRoute/a", "--merge-type", "Replace"]),
        "StrategicMerge, JSONMerge",
    );
    misses(
        "envoy-extension-policy",
        &with(&["--target-ref", "Gateway/a", "--env", "A=b"]),
        "pass `--env A`",
    );
    misses("wasm-plugin", &[], "--url");
    misses("envoy-filter", &url, "--context");
    misses("envoy-extension-policy", &url, "--target-ref");
    misses(
        "wasm-plugin",
        &with(&["--selector", "a=b", "--target-ref", "Gateway/a"]),
        "--target-ref",
    );
    misses(
        "wasm-plugin",
        &with(&["--selector", "a=*"]),
        "is not a valid label",
    );
    misses(
        "wasm-plugin",
        &with(&["--target-ref", "Pod/a"]),
        "plugins cannot be attached to the kind",
    );
    misses("wasm-plugin", &with(&["--phase", "authn"]), "AUTHN");
    misses(
        "wasm-plugin",
        &with(&["--name", "A"]),
        "is not a valid Kubernetes name",
    );
    let long = "a".repeat(64);
    for namespace in ["a.b", long.as_str()] {
        for (kind, more) in [
            ("wasm-plugin", &[][..]),
            ("traffic-extension", &[]),
            ("envoy-filter", &["--context", "GATEWAY"]),
            ("envoy-extension-policy", &["--target-ref", "Gateway/a"]),
        ] {
            misses(
                kind,
                &[&url[..], more, &["--namespace", namespace]].concat(),
                &format!("`{namespace}` is not a valid namespace"),
            );
        }
    }
    misses(
        "wasm-plugin",
        &with(&["--env", "=a"]),
        "expected NAME=VALUE",
    );
    misses(
        "wasm-plugin",
        &[&url[..], &[&plugin]].concat(),
        "unexpected argument",
    );
    let download = ["--url", "https://h/p.wasm", "--image-pull-secret", "s"];
    misses(
        "wasm-plugin",
        &download,
        "`--image-pull-secret` has no effect",
    );
}

#[test]
fn manifest_requires_a_proxy_wasm_module() {
    let folder = Folder::new();
    let plugin = folder.file("core.wasm", b"\0asm\x01\0\0\0");
    tidegate([
        "manifest",
        "wasm-plugin",
        &plugin,
        "--url",
        "oci://h.io/ab:1",
        "--sha256",
        DIGEST,
    ])
    .fails_with(&["core.wasm", "declares no supported Proxy-Wasm ABI version"]);
}
