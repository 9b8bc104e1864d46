//! The table of renamed commands, options, keys and exit codes in CHANGELOG.md: every row has a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::author::{target, tidegate_in};
use crate::binary;
use crate::json::keys;
use crate::tool::{Folder, component, component_of, launch, module, text, tidegate};

/// The first column of rows that other tests cover, and those tests.
const ELSEWHERE: &[(&str, &str)] = &[
    ("`order`", USAGE),
    ("`--home`", USAGE),
    ("`--bless`", USAGE),
    ("`--json`", USAGE),
    ("`--format human`", USAGE),
    ("`validate`", USAGE),
    ("`verify`", USAGE),
    ("`--fail-policy`", USAGE),
    ("`--kind`", USAGE),
    ("`validate -f FILE`, `verify INPUT`", USAGE),
    (
        "`manifest --kind WasmPlugin`, `TrafficExtension`, `EnvoyFilter`, `EnvoyExtensionPolicy`, `envoy`",
        USAGE,
    ),
    (
        "the fields `request` and `response` of the plugin `headers`",
        HEADERS,
    ),
    (
        "`add` in the configuration of the plugin `headers`",
        HEADERS,
    ),
];

const HEADERS: &str = "guest/plugins/headers/src/tests/config.rs";

const USAGE: &str = "usage.rs: renamed_commands_and_options_report_the_new_name";

/// The first column of rows that tests in this file cover, and those tests.
const HERE: &[(&str, &str)] = &[
    (
        "the key `fail-policy` of scenarios",
        "old_scenario_key_is_rejected",
    ),
    (
        "`PLUGIN.wasm=FILE`, `dev --config FILE`",
        "file_as_configuration_is_rejected",
    ),
    (
        "the key `home` of `test --format json`",
        "test_report_has_new_keys",
    ),
    (
        "the key `seen` of `test --format json`",
        "test_report_has_new_keys",
    ),
    (
        "the key `place` of `test --format json`",
        "test_report_has_new_keys",
    ),
    (
        "the result `broken` of `test --format json`",
        "test_report_has_new_keys",
    ),
    (
        "the result `homes agree` of `test`",
        "test_report_has_new_keys",
    ),
    (
        "the key `mend` of `doctor --format json`",
        "doctor_report_has_new_keys",
    ),
    (
        "the key `needed` of `doctor --format json`",
        "doctor_report_has_new_keys",
    ),
    (
        "the keys `refusals` and `says` of `verify --format json`",
        "check_report_has_new_keys",
    ),
    (
        "the keys of `verify --format json` that describe the input",
        "check_report_has_new_keys",
    ),
    (
        "the key `file` of `validate --format json`",
        "check_report_has_new_keys",
    ),
    (
        "exit code 1 if a file, the network, a registry or a required program is not available",
        "missing_file_exits_with_code_3",
    ),
    (
        "the key `refusal` of `inspect --format json`",
        "inspect_report_has_new_keys",
    ),
    (
        "the value `refused` of the key `how` of `inspect --format json`",
        "inspect_report_has_new_keys",
    ),
    (
        "the key `leftOut` of `chain --format json`",
        "chain_report_has_new_keys",
    ),
    (
        "the key `envoyFilters` of `chain --format json`",
        "chain_report_has_new_keys",
    ),
];

const PLUGINS: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: a, namespace: shop}
spec: {url: \"oci://h.io/aa/b:1\", selector: {matchLabels: {app: web}}}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: b, namespace: shop}
spec: {url: \"oci://h.io/aa/b:1\", selector: {matchLabels: {app: other}}}
";

#[test]
fn every_row_of_the_table_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changelog = fs::read_to_string(root.join("../../CHANGELOG.md")).expect("CHANGELOG.md");
    let rows: BTreeSet<&str> = changelog
        .lines()
        .skip_while(|line| *line != "### Renamed")
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with("| "))
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    let tested: BTreeSet<&str> = HERE.iter().chain(ELSEWHERE).map(|(old, _)| *old).collect();
    assert_eq!(rows, tested);
    let source = include_str!("renamed.rs");
    for (_, test) in HERE {
        assert!(source.contains(&format!("fn {test}()")), "{test}");
    }
}

/// The keys of what a command prints with `--format json`, and the document.
fn report(folder: &Folder, call: &[&str]) -> (BTreeSet<String>, Value) {
    let arguments = [call, &["--format", "json"]].concat();
    let done = tidegate_in(&folder.path(""), &arguments);
    let document = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{call:?}: {error}: {}", done.stderr));
    let mut found = BTreeSet::new();
    keys(&document, &mut found);
    (found, document)
}

#[track_caller]
fn assert_keys(found: &BTreeSet<String>, new: &[&str], old: &[&str]) {
    for key in new {
        assert!(found.contains(*key), "no key `{key}`: {found:?}");
    }
    for key in old {
        assert!(!found.contains(*key), "a key `{key}`: {found:?}");
    }
}

#[test]
fn old_scenario_key_is_rejected() {
    let folder = Folder::new();
    let module = folder.module("plugin.wasm");
    let scenario = folder.file(
        "old.yaml",
        "about: x\nplugins: [{ guest: plugin, fail-policy: open }]\nsteps:\n- request: { path: / }\n",
    );
    tidegate(["test", "--plugin", &module, &scenario])
        .fails_with(&["unknown field `fail-policy`", "failure-policy"]);
}

#[test]
fn file_as_configuration_is_rejected() {
    let folder = Folder::new();
    let module = folder.module("plugin.wasm");
    let config = folder.file("config.json", "{}");
    let expected = format!("=@{config}`");
    tidegate(["run", &format!("{module}={config}")]).fails_with(&[&expected]);

    let plugin = folder.path("greeter");
    tidegate(["new", &text(&plugin)]).succeeds();
    let mut dev = Command::new(binary::path());
    dev.args(["dev", "--listen", "127.0.0.1:0", "--config", &config])
        .current_dir(&plugin)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target());
    // The build may wait for those of other tests.
    launch(dev).says_within(Duration::from_secs(300), &expected);
}

#[test]
fn test_report_has_new_keys() {
    let folder = Folder::new();
    fs::create_dir(folder.path("scenarios")).expect("a directory");
    let call = ["test", "--plugin", "plugin.wasm"];

    // A component whose functions trap: both engines refuse to start it.
    folder.file("plugin.wasm", component());
    folder.file(
        "scenarios/a.yaml",
        "about: x\nstart: { refused: true, logs: [\"plugin critical *\"] }\n",
    );
    let (found, document) = report(&folder, &call);
    assert_keys(&found, &["runtime"], &["home"]);
    let tests = document["tests"].as_array().expect("tests");
    let runtimes: Vec<_> = tests.iter().map(|it| &it["runtime"]).collect();
    assert_eq!(runtimes, ["component", "proxy-wasm", "runtimes agree"]);

    folder.file("plugin.wasm", module());
    folder.file(
        "scenarios/a.yaml",
        "about: x\nsteps:\n- request: { path: /, expect: { status: 299 } }\n",
    );
    let (found, _) = report(&folder, &call);
    assert_keys(&found, &["actual", "field"], &["seen", "place"]);

    folder.file("plugin.wasm", b"\0asm\x01\0\0\0");
    let (_, document) = report(&folder, &[&call[..], &["--runtime", "proxy-wasm"]].concat());
    assert_eq!(document["tests"][0]["result"], "error");
}

#[test]
fn doctor_report_has_new_keys() {
    let (found, _) = report(&Folder::new(), &["doctor"]);
    assert_keys(&found, &["fix", "required"], &["mend", "needed"]);
}

#[test]
fn check_report_has_new_keys() {
    let folder = Folder::new();
    let module = folder.module("plugin.wasm");
    let manifests = folder.file("plugins.yaml", PLUGINS);
    let (found, document) = report(&folder, &["check", &module, &manifests]);
    let old = ["refusals", "says", "file"];
    assert_keys(&found, &["inputs", "input", "findings"], &old);
    assert_eq!(document["inputs"][1]["kind"], "manifests");
}

#[test]
fn missing_file_exits_with_code_3() {
    tidegate(["inspect", "missing.wasm"]).lacks(&["cannot read `missing.wasm`"]);
}

#[test]
fn inspect_report_has_new_keys() {
    let folder = Folder::new();
    folder.file(
        "rejected.wasm",
        wat::parse_str("(component)").expect("a component"),
    );
    let (found, _) = report(&folder, &["inspect", "rejected.wasm"]);
    assert_keys(&found, &["rejection"], &["refusal"]);

    let wit = "package cli:test;
        world plugin {
            include tidegate:proxy/all@0.1.0;
            import wasi:filesystem/preopens@0.2.0;
        }
        package wasi:filesystem@0.2.0 {
            interface types { resource descriptor; }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }";
    folder.file("wasi.wasm", component_of(wit));
    let (_, document) = report(&folder, &["inspect", "wasi.wasm"]);
    let wasi = document["wasi"].as_array().expect("WASI functions");
    assert!(wasi.iter().any(|it| it["how"] == "fails"), "{document:#}");
    assert!(wasi.iter().all(|it| it["how"] != "refused"), "{document:#}");
}

#[test]
fn chain_report_has_new_keys() {
    let folder = Folder::new();
    let plugins = folder.file("plugins.yaml", PLUGINS);
    let call = ["chain", "-f", &plugins, "--workload", "shop/app=web"];
    let (found, _) = report(&folder, &call);
    let old = ["leftOut", "envoyFilters"];
    assert_keys(&found, &["left-out", "envoy-filters"], &old);
}
