//! `--verbose`: the details that each command prints to stderr, and that they change nothing else.

use std::fs;
use std::process::Command;

use crate::author::tidegate_in;
use crate::binary;
use crate::tool::{Done, Folder, component, launch, text, tidegate};

const PLUGIN: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: a, namespace: shop}
spec: {url: \"oci://h.io/aa/b@sha256:0000000000000000000000000000000000000000000000000000000000000000\", selector: {matchLabels: {app: web}}}
";

const SCENARIO: &str = "about: The response is marked.
steps:
- request: { path: /, expect: { status: 200, headers: { x-plugin: [here] } } }
";

/// The details in the output, without the times at their beginning.
fn details(done: &Done) -> Vec<&str> {
    let is_time = |text: &str| {
        let seconds = text.strip_suffix('s');
        seconds.is_some_and(|it| it.parse::<f64>().is_ok())
    };
    let lines = done.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
        .filter(|(time, _)| is_time(time))
        .map(|(_, detail)| detail)
        .collect()
}

#[track_caller]
fn assert_details(done: &Done, expected: &[&str]) {
    let details = details(done);
    assert!(details[0].starts_with("tidegate 0."), "{}", done.stderr);
    for part in expected {
        assert!(
            details.iter().any(|it| it.contains(part)),
            "expected `{part}` in:\n{}",
            done.stderr
        );
    }
}

#[test]
fn verbose_prints_details_of_each_command_to_stderr() {
    let folder = Folder::new();
    let module = folder.module("module.wasm");
    let component = folder.file("component.wasm", component());
    let config = folder.file("config.json", "{}");
    let plugin = folder.file("plugin.yaml", PLUGIN);
    let adapted = text(&folder.path("adapted.wasm"));
    let wit = text(&folder.path("wit"));
    let configured = format!("{component}=@{config}");
    let sizes = ["component, ", " bytes, sha256:"];
    let envoy = ["manifest", "envoy", &configured, "--upstream", "http://h"];
    let calls: [(&[&str], &[&str]); 7] = [
        (&["inspect", &module], &["module.wasm`: module, ", sizes[1]]),
        (
            &["adapt", &component, "-o", &adapted],
            &["adapted a component of ", "wrote `", ": module, ", sizes[1]],
        ),
        (
            &["check", &component],
            &[sizes[0], sizes[1], "against all supported Envoy releases"],
        ),
        (
            &["check", &plugin],
            &[
                "plugin.yaml`: manifests",
                "1 documents checked with the rules of Istio 1.31, 0 skipped",
            ],
        ),
        (
            &envoy,
            &[
                "config.json`: 2 bytes",
                "plugin `component`: ",
                "configuration of 2 bytes",
            ],
        ),
        (
            &["chain", "-f", &plugin],
            &["plugin.yaml`: 1 documents", "root namespace `istio-system`"],
        ),
        (&["wit", "-o", &wit], &["worlds.wit`: "]),
    ];
    for (call, expected) in calls {
        let quiet = tidegate(call);
        let done = tidegate(call.iter().chain(&["-v"]));
        assert_eq!(done.succeeds(), quiet.succeeds(), "{call:?}");
        assert!(details(&quiet).is_empty(), "{}", quiet.stderr);
        assert_details(&done, expected);
    }
}

#[test]
fn verbose_prints_the_registry_before_it_is_contacted() {
    let folder = Folder::new();
    let module = folder.module("module.wasm");
    let image = "oci://127.0.0.1:1/plugins/x:1";
    for call in [&["pull", image][..], &["push", &module, image]] {
        let done = tidegate(call.iter().chain(&["--verbose"]));
        assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
        assert_details(
            &done,
            &["registry `127.0.0.1:1`, repository `plugins/x`, credentials: "],
        );
    }
}

#[test]
fn verbose_run_prints_use_of_the_code_cache() {
    let folder = Folder::new();
    let module = folder.module("module.wasm");
    for usage in ["0 hits, 1 misses", "1 hits, 0 misses"] {
        let mut command = Command::new(binary::path());
        command
            .args(["run", "-v", "--listen", "127.0.0.1:0", &module])
            .env("TIDEGATE_CACHE", folder.path("cache"));
        let serving = launch(command).ready();
        serving.says(usage);
    }
}

#[test]
fn verbose_test_prints_scenarios_and_times() {
    let folder = Folder::new();
    folder.module("plugin.wasm");
    fs::create_dir(folder.path("scenarios")).expect("a directory");
    folder.file("scenarios/marks.yaml", SCENARIO);
    let arguments = [
        "test",
        "-v",
        "--plugin",
        "plugin.wasm",
        "--runtime",
        "proxy-wasm",
    ];
    let done = tidegate_in(&folder.path(""), &arguments);
    done.succeeds();
    assert_details(
        &done,
        &[
            "1 scenarios: scenarios/marks.yaml",
            "plugin `plugin.wasm`: module, ",
            "scenarios in parallel",
            "marks in proxy-wasm: ",
            "code cache `",
        ],
    );
}

#[test]
fn verbose_build_prints_tools_and_digest() {
    let folder = Folder::new();
    let plugin = folder.path("greeter");
    let done = tidegate(["new", "-v", &text(&plugin)]);
    done.succeeds();
    assert_details(&done, &["src/lib.rs`: "]);
    let done = tidegate_in(&plugin, &["build", "-v"]);
    done.succeeds();
    assert_details(
        &done,
        &[
            "read the package `greeter` 0.1.0",
            "target wasm32-wasip2: `",
            ": rustc 1.",
            ": cargo 1.",
            "running ",
            "component, ",
            "adapted a component of ",
        ],
    );
}

#[test]
fn verbose_doctor_prints_programs_that_it_runs() {
    let done = tidegate(["doctor", "-v"]);
    assert_details(&done, &["ran ", "\"--version\""]);
}
