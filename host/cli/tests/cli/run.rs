//! `run`: output, behavior, and shutdown.

use std::net::TcpListener;

use tidegate_components::{Encoder, Recipe, Strings};

use crate::tool::{Folder, component, serve, start, tidegate};

/// A module that logs that it is being configured, and then never returns.
const SLOW: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "configuring")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 11)))
    (loop $for_ever (br $for_ever))
    i32.const 1))"#;

/// A module that logs its environment when it is configured, and traps on the headers of each response.
const TRAPPING: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $environ (i32.const 512) (i32.const 0)))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 3)))
    i32.const 1)
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) unreachable))"#;

#[test]
fn run_passes_arbitrary_configuration_to_plugins() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    let file = folder.file("key.pem", "-----BEGIN PUBLIC KEY-----");
    for (configuration, line) in [
        ("not JSON".to_owned(), "info greeter#0: not JSON"),
        (
            format!("@{file}"),
            "info greeter#0: -----BEGIN PUBLIC KEY-----",
        ),
    ] {
        let plugin = format!("{path}={configuration}");
        serve([&plugin, "--workers", "1"]).says(line);
    }
}

#[test]
fn run_imitates_the_proxy_of_the_profile() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    for (profile, received, server) in [
        ("envoy", "/x/../%61", None),
        ("istio", "/a", Some("server: istio-envoy")),
    ] {
        let serving = serve([&path, "--profile", profile, "--workers", "1"]);
        let response = serving.get("/x/../%61");
        assert!(
            response.contains(&format!("\"path\": \"{received}\"")),
            "{response}"
        );
        let named = response.lines().find(|line| line.starts_with("server:"));
        assert_eq!(named, server, "{response}");
    }
}

#[test]
fn run_applies_environment_and_failure_policy() {
    let folder = Folder::new();
    let path = folder.file("trapping.wasm", wat::parse_str(TRAPPING).expect("a module"));
    for (policy, second) in [("reload", "503"), ("closed", "503"), ("open", "200")] {
        let serving = serve([
            &path,
            "--env",
            "A=b",
            "--failure-policy",
            policy,
            "--workers",
            "1",
        ]);
        serving.says("info trapping#0: A=b");
        serving.get("/");
        // The response after the plugin has trapped once.
        let response = serving.get("/");
        assert!(
            response.starts_with(&format!("HTTP/1.1 {second} ")),
            "{policy}: {response}"
        );
        if policy == "reload" {
            serving.says("info trapping#0: A=b");
        }
    }
}

#[test]
fn run_serves_a_plugin_in_front_of_echo() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    let serving = serve([
        format!("{path}={{\"a\": 1}}"),
        "--workers".into(),
        "2".into(),
    ]);
    assert_eq!(
        serving.introduction,
        [
            "2 workers: each worker has its own plugin instances; only shared data and metrics are common to all workers".to_owned(),
            format!("plugin greeter: {path}, engine proxy-wasm, with configuration"),
            "upstream: echo".to_owned(),
        ],
    );
    serving.says("info greeter#0: {\"a\": 1}");
    let response = serving.get("/anything?a=b");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("\r\nx-plugin: here\r\n"), "{response}");
    assert!(
        response.contains("\"path\": \"/anything?a=b\""),
        "{response}"
    );
}

#[test]
fn run_lists_clusters() {
    let folder = Folder::new();
    let serving = serve([
        folder.module("greeter.wasm"),
        "--workers".into(),
        "1".into(),
        "--cluster".into(),
        "outbound|80||auth.ns=http://127.0.0.1:9001".into(),
        "--cluster".into(),
        "keys=http://[::1]".into(),
    ]);
    assert_eq!(
        serving.introduction[2..],
        [
            "upstream: echo",
            "cluster outbound|80||auth.ns: 127.0.0.1 port 9001",
            "cluster keys: ::1 port 80",
        ]
    );
}

#[test]
fn run_signals_end_of_stream_for_every_body() {
    let folder = Folder::new();
    let serving = serve([
        folder.module("greeter.wasm"),
        "--workers".into(),
        "1".into(),
    ]);
    for path in ["/bytes/5", "/bytes/500000", "/chunks/3"] {
        assert!(
            serving.get(path).starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}"
        );
        serving.says("info greeter#0: last piece");
    }
}

#[test]
fn run_suppresses_lines_below_the_log_level() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    for (level, first) in [("info", "info greeter#0: {\"a\": 1}"), ("warn", "stopping")] {
        let serving = serve([
            format!("{path}={{\"a\": 1}}"),
            "--log-level".into(),
            level.into(),
            "--workers".into(),
            "1".into(),
        ]);
        // The plugin has logged its configuration before the proxy is ready.
        serving.signal("INT");
        let line = serving.line();
        assert!(line.contains(first), "{level}: {line}");
    }
}

#[test]
fn run_gives_plugins_from_one_file_distinct_names() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    let serving = serve([
        path.clone(),
        format!("{path}={{\"a\": 2}}"),
        "--workers".into(),
        "1".into(),
    ]);
    serving.says("info greeter-2#0: {\"a\": 2}");
    assert_eq!(serving.get("/").matches("x-plugin: here").count(), 2);
}

#[test]
fn run_stops_on_sigint_and_sigterm() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    for signal in ["INT", "TERM"] {
        let serving = serve([&path]);
        serving.signal(signal);
        serving.says("stopping");
        assert!(serving.end().success(), "{signal}");
    }
}

/// A signal ends the process even while a plugin is starting.
#[cfg(unix)]
#[test]
fn run_stops_immediately_during_startup() {
    use std::os::unix::process::ExitStatusExt as _;

    let folder = Folder::new();
    let path = folder.file("slow.wasm", wat::parse_str(SLOW).expect("a module"));
    // Not SIGINT, which can be ignored if the tests run in the background.
    let starting = start([&path]);
    starting.says("configuring");
    starting.signal("TERM");
    assert_eq!(starting.end().signal(), Some(15));
}

#[test]
fn run_names_the_plugin_that_fails_to_start() {
    let folder = Folder::new();
    let path = folder.file("trapping.wasm", component());
    for engine in ["component", "proxy-wasm"] {
        let level = ["--log-level", "critical", "--workers", "3"];
        let done = tidegate(["run", &path, "--engine", engine].iter().chain(&level));
        assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
        // Not once for each worker.
        assert_eq!(
            done.stderr.matches("unreachable").count(),
            1,
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains("error: plugin `trapping`"),
            "{engine}: {}",
            done.stderr
        );
    }
}

#[test]
fn run_reports_why_it_cannot_start() {
    let folder = Folder::new();
    let path = folder.module("greeter.wasm");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    tidegate(["run", &path, "--listen", &address, "--log-level", "error"]).lacks(&[
        "cannot listen on",
        &address,
        "in use",
    ]);
    tidegate(["run", &path, "--engine", "component"])
        .fails_with(&["greeter.wasm` is a Proxy-Wasm module", "`--engine`"]);
    tidegate(["run", "none.wasm"]).lacks(&["cannot read `none.wasm`"]);
    tidegate(["run", &folder.file("broken.wasm", b"\0asm\x01\0\0\0broken")])
        .fails_with(&["broken"]);
    tidegate([
        "run",
        &folder.file("empty.wasm", wat::parse_str("(module)").expect("a module")),
    ])
    .fails_with(&["empty"]);
}

/// `run` and `adapt` report the same error for a component with an import that no proxy provides.
#[test]
fn run_and_adapt_report_the_same_unsupported_import() {
    let folder = Folder::new();
    let later = tidegate_components::guest("later-function", Encoder::Newest)
        .expect("a component")
        .expect("the guest of tests/wat");
    let wasi = Recipe {
        wit: "package test:wasi; world plugin {
            include tidegate:proxy/http-plugin@0.1.0;
            import wasi:clocks/system-clock@0.3.0;
            export tidegate:proxy/on-log@0.1.0;
        }
        package wasi:clocks@0.3.0 { interface system-clock { now: func() -> u64; } }",
        ..Recipe::default()
    }
    .make()
    .expect("a component");
    let cases = [
        (
            later,
            "imports `tidegate:proxy/logging@0.1.1` `flush`, which tidegate:proxy@0.1.0 does not have",
        ),
        (wasi, "imports `wasi:clocks/system-clock@0.3.0` `now`"),
    ];
    for (bytes, reason) in cases {
        let path = folder.file("plugin.wasm", bytes);
        let output = folder.path("out.wasm").display().to_string();
        for done in [
            tidegate(["run", &path]),
            tidegate(["adapt", path.as_str(), "-o", output.as_str()]),
        ] {
            assert!(!done.status.success(), "{}", done.stderr);
            assert!(done.stderr.contains(reason), "{}", done.stderr);
        }
        let inspected = tidegate(["inspect", &path]);
        let inspected = String::from_utf8(inspected.stdout).expect("UTF-8");
        assert!(inspected.contains(reason), "{inspected}");
    }
}

/// A warning is printed for a component that this proxy runs and Envoy does not.
#[test]
fn run_warns_about_components_adapt_would_reject() {
    let folder = Folder::new();
    let bytes = Recipe {
        wit: "package test:utf16; world plugin {
            include tidegate:proxy/http-plugin@0.1.0;
            export tidegate:proxy/on-log@0.1.0;
        }",
        strings: Strings::Utf16,
        ..Recipe::default()
    }
    .make()
    .expect("a component");
    let path = folder.file("plugin.wasm", bytes);
    let done = tidegate(["run", &path]);
    assert!(
        done.stderr
            .contains("passes strings as UTF-16: only UTF-8 is supported"),
        "{}",
        done.stderr
    );
    // The functions of this component trap, so it fails to start, for another reason.
    assert!(done.stderr.contains("failed to start"), "{}", done.stderr);
}
