//! `tidegate check` with modules, components and images, and whether Envoys load or reject what it reports.

use std::process::Command;

use serde_json::{Value, json};
use tidegate_components::guests::{self, Shape};
use tidegate_testkit::envoy::Release;

use crate::envoy::envoy;
use crate::shipping::registries::{Distribution, PASSWORD, USER, module};
use crate::shipping::{run, ship};
use crate::tool::{Done, Folder};

#[test]
#[ignore = "needs docker-registry"]
fn check_verifies_image_digests_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/pp:v1", registry.address);
    let pushed = ship(["push", &plugin, &place, "--format", "json"]);
    let pushed: Value = serde_json::from_slice(pushed.succeeds()).expect("JSON");
    let hex = pushed["sha256"].as_str().expect("a digest");

    let done = ship(["check", &place, "--sha256", hex]);
    let said = String::from_utf8(done.succeeds().to_vec()).expect("text");
    let first = said.lines().next().expect("a line");
    for part in [
        &format!("{place}: image sha256:{hex}, "),
        "layout compat",
        "ABI 0.2.1",
    ] {
        assert!(first.contains(part), "no `{part}` in {said}");
    }
    let of_module = ship(["check", &plugin, "--format", "json"]);
    let of_module: Value = serde_json::from_slice(of_module.succeeds()).expect("JSON");
    let wrong = of_module["inputs"][0]["module"]
        .as_str()
        .and_then(|it| it.strip_prefix("sha256:"))
        .expect("a digest");
    finds(
        &ship(["check", &place, "--sha256", wrong]),
        &["error: ", "is the digest of the module", hex, "[agent]"],
    );
    // For a file, it is the digest of the module.
    ship(["check", &plugin, "--sha256", wrong]).succeeds();
    finds(
        &ship(["check", &plugin, "--sha256", hex]),
        &["is not the digest of this module"],
    );
    // Other commands accept the same image.
    let bytes = std::fs::read(&plugin).expect("the module");
    let inspected = ship(["inspect", &place, "--format", "json"]);
    let inspected: Value = serde_json::from_slice(inspected.succeeds()).expect("JSON");
    assert_eq!(inspected["size"]["total"], bytes.len());
    let manifest = ship(["manifest", "wasm-plugin", &format!("{place}={{\"a\": 1}}")]);
    let manifest = String::from_utf8_lossy(manifest.succeeds()).into_owned();
    let pinned = format!("{place}@sha256:{hex}");
    assert!(manifest.contains(&pinned), "{manifest}");
    // The component that was pushed with it can be run, but not deployed.
    let component = guests::component("hello", Shape::Wasip2).expect("a component");
    let component = folder.file("hello.wasm", component);
    let beside = format!("oci://{}/hello:v1", registry.address);
    ship(["push", &component, &beside, "--with-component"]).succeeds();
    let beside = format!("{beside}-component");
    let inspected = ship(["inspect", &beside, "--format", "json"]);
    let inspected: Value = serde_json::from_slice(inspected.succeeds()).expect("JSON");
    assert_eq!(inspected["kind"], "component");
    ship(["manifest", "wasm-plugin", &beside])
        .fails_with(&["contains a component", "tidegate push"]);
    let pinned = format!("{place}@sha256:{hex}");
    ship(["pull", &pinned, "--component"]).misses("--component cannot be used with");
    ship(["manifest", "wasm-plugin", &place, "--url", &place])
        .misses("`--url` cannot be used with");
}

/// Findings are on stdout, one per line, and the exit code is 1.
#[track_caller]
fn finds(done: &Done, parts: &[&str]) {
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    let said = String::from_utf8_lossy(&done.stdout);
    for part in parts {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}

#[test]
fn check_prints_one_finding_per_line() {
    let folder = Folder::new();
    let imports = r#"(import "env" "a" (func)) (import "env" "b" (func))"#;
    let wrong = folder.file("wrong.wasm", module(imports));
    let done = ship(["check", &wrong]);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stdout);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, name) in lines[1..].iter().zip(["`a`", "`b`"]) {
        assert!(
            line.starts_with(&format!("{wrong}: error: it imports")),
            "{line}"
        );
        assert!(line.contains(name) && line.ends_with("[envoy]"), "{line}");
    }
    assert_eq!(
        done.stderr,
        "checked 1 plugin against Envoy 1.36 to 1.40: 2 errors, 0 warnings\n"
    );
    let done = ship(["check", &wrong, "--format", "json"]);
    assert_eq!(done.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(result["findings"].as_array().map(Vec::len), Some(2));
    assert_eq!(result["findings"][0]["rule"], "envoy");
    assert_eq!(
        result["envoy"],
        json!(["1.36", "1.37", "1.38", "1.39", "1.40"])
    );

    // The module of a component is checked.
    let component = guests::component("hello", Shape::Wasip2).expect("a component");
    let component = folder.file("component.wasm", component);
    let done = ship(["check", &component]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(said.contains(": component, module sha256:"), "{said}");
    assert!(
        said.contains("note: ") && said.contains("[component]"),
        "{said}"
    );
    let other = folder.file(
        "other.wasm",
        wat::parse_str("(component)").expect("a component"),
    );
    finds(&ship(["check", &other]), &["error: ", "[adapt]"]);
    let text = folder.file("text.wasm", "no wasm");
    finds(&ship(["check", &text]), &["it is not a WebAssembly binary"]);
    ship(["check", &crate::tool::text(&folder.path("absent"))]).lacks(&["cannot read", "absent"]);
    ship(["check", "https://example.com/p.wasm"]).misses("the scheme `https` is not supported");
    ship(["check", "oci://p"]).misses("the registry is missing");
    ship(["check", &wrong, "--envoy", "1.35"]).misses("use one of 1.36, 1.37");
}

/// A module that waits for an event that never occurs would just hang.
#[test]
fn check_reports_hostcalls_that_run_does_not_implement() {
    let folder = Folder::new();
    let import = r#"(import "env" "proxy_grpc_close" (func (param i32) (result i32)))"#;
    let plugin = folder.file("grpc.wasm", module(import));
    let done = ship(["check", &plugin]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(
        said.contains("do not implement proxy_grpc_close") && said.contains("[run]"),
        "{said}"
    );
    let done = ship(["inspect", &plugin]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(said.contains("unsupported proxy_grpc_close"), "{said}");
    // All others are not reported.
    for name in tidegate_host::UNSUPPORTED_HOSTCALLS {
        let import = format!(r#"(import "env" "{name}" (func))"#);
        let plugin = folder.file("other.wasm", module(&import));
        let done = ship(["inspect", &plugin]);
        let said = String::from_utf8_lossy(done.succeeds()).into_owned();
        assert!(said.contains(&format!("unsupported {name}")), "{said}");
    }
}

/// HTTP calls, timers and queues are implemented in all runtimes.
#[test]
fn check_reports_no_calls_timers_or_queues() {
    let folder = Folder::new();
    let imports = r#"
        (import "env" "proxy_set_tick_period_milliseconds" (func (param i32) (result i32)))
        (import "env" "proxy_register_shared_queue" (func (param i32 i32 i32) (result i32)))
        (import "env" "proxy_http_call"
            (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let plugin = folder.file("caller.wasm", module(imports));
    for command in ["check", "inspect"] {
        let done = ship([command, &plugin]);
        let said = String::from_utf8_lossy(done.succeeds()).into_owned();
        let is_unsupported = said.contains("do not implement") || said.contains("unsupported");
        assert!(!is_unsupported, "{said}");
    }
}

/// A name in a file must not imitate a line of output.
#[test]
fn inspect_escapes_newlines_in_names() {
    let folder = Folder::new();
    let metadata =
        r#"(@custom "tidegate-plugin" "{\22name\22: \22greeter\5cnhostcalls  logging.log\22}")"#;
    let plugin = folder.file("named.wasm", module(metadata));
    let done = ship(["inspect", &plugin]);
    let said = String::from_utf8_lossy(done.succeeds()).into_owned();
    assert!(
        said.contains("name       greeter\\nhostcalls  logging.log\n"),
        "{said}"
    );
}

/// The agent uses the realm as a URL, even if it is a name, and does not contact it.
#[test]
#[ignore = "needs docker-registry"]
fn check_reports_realms_the_agent_ignores_needs_docker_registry() {
    let registry = Distribution::locked();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/pp:v1", registry.address);
    let by = ["--username", USER, "--password-stdin"];
    let run = |command: &[&str]| run(command.iter().chain(&by), None, PASSWORD.as_bytes());
    run(&["push", &plugin, &place]).succeeds();
    let pulled = run(&["pull", &place, "-o", "-"]);
    assert_eq!(pulled.succeeds(), module(""));
    assert!(
        pulled.stderr.contains("see `tidegate check`"),
        "{}",
        pulled.stderr
    );
    finds(&run(&["check", &place]), &["the realm `a realm", "[agent]"]);
}

/// The releases that load a module.
#[derive(Clone, Copy)]
enum Loads {
    All,
    None,
    From1_39,
    Before1_39,
}

/// Modules, and which Envoys load them.
fn modules() -> Vec<(&'static str, String, Loads)> {
    const MEMORY: &str = r#"(memory (export "memory") 1)"#;
    const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) i32.const 1024)"#;
    let of = |abi: &str, parts: &[&str]| {
        format!(
            r#"(module {} (func (export "proxy_abi_version_{abi}")))"#,
            parts.join(" ")
        )
    };
    let import = |name: &str, ty: &str| format!(r#"(import "env" "{name}" (func {ty}))"#);
    let wasi = |name: &str, ty: &str| {
        format!(
            r#"(import "wasi_snapshot_preview1" "{name}" (func {ty})) (import "wasi_unstable" "{name}" (func {ty}))"#
        )
    };
    let new_to_old = [
        wasi("fd_write", "(param i32 i32 i32 i32) (result i32)"),
        wasi("fd_seek", "(param i32 i64 i32 i32) (result i32)"),
        wasi(
            "path_open",
            "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
        ),
        wasi("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
        wasi("sched_yield", "(result i32)"),
        wasi("fd_prestat_get", "(param i32 i32) (result i32)"),
        wasi("proc_exit", "(param i32)"),
        import("pthread_equal", "(param i32 i32) (result i32)"),
        import("emscripten_notify_memory_growth", "(param i32)"),
        import("envoy_resolve_dns", "(param i32 i32 i32) (result i32)"),
    ]
    .join(" ");
    let headers = |count: usize| {
        format!(
            r#"(func (export "proxy_on_request_headers") (param {}) (result i32) i32.const 0)"#,
            "i32 ".repeat(count)
        )
    };
    let level = import("proxy_get_log_level", "(param i32) (result i32)");
    let request = import("proxy_continue_request", "(result i32)");
    let preview1 =
        |name: &str, ty: &str| format!(r#"(import "wasi_snapshot_preview1" "{name}" (func {ty}))"#);
    // All functions that Envoy 1.39 added.
    let newer: String = [
        ("clock_res_get", "i32 i32"),
        ("fd_advise", "i32 i64 i64 i32"),
        ("fd_allocate", "i32 i64 i64"),
        ("fd_datasync", "i32"),
        ("fd_fdstat_set_rights", "i32 i64 i64"),
        ("fd_filestat_get", "i32 i32"),
        ("fd_filestat_set_size", "i32 i64"),
        ("fd_filestat_set_times", "i32 i64 i64 i32"),
        ("fd_pread", "i32 i32 i32 i64 i32"),
        ("fd_pwrite", "i32 i32 i32 i64 i32"),
        ("fd_readdir", "i32 i32 i32 i64 i32"),
        ("fd_renumber", "i32 i32"),
        ("fd_sync", "i32"),
        ("fd_tell", "i32 i32"),
        ("path_create_directory", "i32 i32 i32"),
        ("path_filestat_get", "i32 i32 i32 i32 i32"),
        ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
        ("path_link", "i32 i32 i32 i32 i32 i32"),
        ("path_readlink", "i32 i32 i32 i32 i32 i32"),
        ("path_remove_directory", "i32 i32 i32"),
        ("path_rename", "i32 i32 i32 i32 i32 i32"),
        ("path_symlink", "i32 i32 i32 i32"),
        ("path_unlink_file", "i32 i32 i32"),
        ("sock_accept", "i32 i32 i32"),
        ("sock_recv", "i32 i32 i32 i32 i32 i32"),
        ("sock_send", "i32 i32 i32 i32 i32"),
        ("sock_shutdown", "i32 i32"),
    ]
    .iter()
    .map(|(name, params)| preview1(name, &format!("(param {params}) (result i32)")))
    .collect();
    vec![
        (
            "plain",
            of("0_2_1", &[&new_to_old, &level, &headers(3), MEMORY, MALLOC]),
            Loads::All,
        ),
        (
            "old",
            of(
                "0_1_0",
                &[&new_to_old, &request, &headers(2), MEMORY, MALLOC],
            ),
            Loads::All,
        ),
        (
            "unmarked",
            format!("(module {MEMORY} {MALLOC})"),
            Loads::None,
        ),
        ("marked-anew", of("0_3_0", &[MEMORY, MALLOC]), Loads::None),
        ("level", of("0_2_0", &[&level, MEMORY, MALLOC]), Loads::None),
        (
            "request",
            of("0_2_1", &[&request, MEMORY, MALLOC]),
            Loads::None,
        ),
        (
            "callback",
            of("0_2_1", &[&headers(2), MEMORY, MALLOC]),
            Loads::None,
        ),
        (
            "type",
            of(
                "0_2_1",
                &[&import("proxy_log", "(param i32)"), MEMORY, MALLOC],
            ),
            Loads::None,
        ),
        (
            "wasi",
            of(
                "0_2_1",
                &[
                    &wasi("proc_raise", "(param i32) (result i32)"),
                    MEMORY,
                    MALLOC,
                ],
            ),
            Loads::None,
        ),
        ("allocator", of("0_2_1", &[MEMORY]), Loads::None),
        (
            "global",
            of(
                "0_2_1",
                &[r#"(import "env" "g" (global i32))"#, MEMORY, MALLOC],
            ),
            Loads::None,
        ),
        (
            "table",
            of(
                "0_2_1",
                &[r#"(import "env" "t" (table 1 funcref))"#, MEMORY, MALLOC],
            ),
            Loads::All,
        ),
        (
            "tail-call",
            of(
                "0_2_1",
                &[MEMORY, MALLOC, "(func $t (result i32) return_call $t)"],
            ),
            Loads::All,
        ),
        ("component", "(component)".to_owned(), Loads::None),
        (
            "newer-wasi",
            of("0_2_1", &[&newer, MEMORY, MALLOC]),
            Loads::From1_39,
        ),
        (
            "newer-wasi-type",
            of(
                "0_2_1",
                &[
                    &preview1("path_symlink", "(param i32 i32 i32 i32 i32) (result i32)"),
                    MEMORY,
                    MALLOC,
                ],
            ),
            Loads::None,
        ),
        (
            "main-void",
            of(
                "0_2_1",
                &[
                    MEMORY,
                    MALLOC,
                    r#"(func (export "_initialize")) (func (export "__main_void"))"#,
                ],
            ),
            Loads::Before1_39,
        ),
    ]
}

fn agrees(release: Release) {
    let envoy = envoy(release);
    let folder = Folder::new();
    let ours = match release {
        Release::V1_40_0 => "1.40",
        Release::V1_36_4 => "1.36",
    };
    for (name, module, loads) in modules() {
        let is_loaded = match (loads, release) {
            (Loads::All, _) => true,
            (Loads::None, _) => false,
            (Loads::From1_39, release) => release == Release::V1_40_0,
            (Loads::Before1_39, release) => release == Release::V1_36_4,
        };
        let plugin = folder.file(
            &format!("{name}.wasm"),
            wat::parse_str(&module).expect(name),
        );
        // A component would be adapted.
        if name != "component" {
            let done = ship(["check", &plugin, "--envoy", ours]);
            assert_eq!(done.status.success(), is_loaded, "{name}: {}", done.stderr);
            // Without the option, every release must load it.
            let done = ship(["check", &plugin]);
            let is_loaded = matches!(loads, Loads::All);
            assert_eq!(done.status.success(), is_loaded, "{name}: {}", done.stderr);
        }
        let bootstrap = folder.file("envoy.json", bootstrap(&plugin).to_string());
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "-c", &bootstrap])
            .output()
            .expect("Envoy");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_loaded, "{name}: {said}");
    }
}

/// The smallest module that Envoy loads.
fn bootstrap(module: &str) -> Value {
    let ty = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    json!({ "static_resources": { "listeners": [{
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type": ty("network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "http",
                "route_config": { "virtual_hosts": [] },
                "http_filters": [
                    { "name": "plugin", "typed_config": {
                        "@type": ty("http.wasm.v3.Wasm"),
                        "config": { "vm_config": {
                            "runtime": "envoy.wasm.runtime.v8",
                            "code": { "local": { "filename": module } },
                        } },
                    } },
                    { "name": "router", "typed_config": { "@type": ty("http.router.v3.Router") } },
                ],
            },
        }] }],
    }] } })
}

#[test]
#[ignore = "needs envoy"]
fn check_agrees_with_newest_envoy_needs_envoy() {
    agrees(Release::V1_40_0);
}

#[test]
#[ignore = "needs envoy"]
fn check_agrees_with_oldest_envoy_needs_envoy() {
    agrees(Release::V1_36_4);
}
