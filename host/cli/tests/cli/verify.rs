//! `tidegate verify` as it is run, and whether stock Envoys load and refuse what it says that they do.

use std::process::Command;

use serde_json::{Value, json};
use tidegate_components::guests::{self, Shape};
use tidegate_testkit::envoy::Release;

use crate::shipping::registries::{Distribution, PASSWORD, USER, module};
use crate::shipping::{run, ship};
use crate::tool::{Folder, text};

#[test]
#[ignore = "needs docker-registry"]
fn verify_says_what_it_found_needs_docker_registry() {
    let registry = Distribution::open();
    let folder = Folder::new();
    let plugin = folder.file("plugin.wasm", module(""));
    let place = format!("oci://{}/pp:v1", registry.address);
    let pushed = ship(["push", &plugin, &place, "--format", "json"]);
    let pushed: Value = serde_json::from_slice(pushed.succeeds()).expect("JSON");
    let hex = pushed["sha256"].as_str().expect("a digest");

    let done = ship(["verify", &place, "--sha256", hex]);
    let said = String::from_utf8(done.succeeds().to_vec()).expect("text");
    for line in [
        format!("taken      {place}"),
        format!("digest     sha256:{hex}"),
        "layout     compat".to_owned(),
        "abi        0.2.1".to_owned(),
    ] {
        assert!(said.lines().any(|it| it == line), "no `{line}` in {said}");
    }
    let of_module = ship(["verify", &plugin, "--format", "json"]);
    let of_module: Value = serde_json::from_slice(of_module.succeeds()).expect("JSON");
    let wrong = of_module["module"]
        .as_str()
        .and_then(|it| it.strip_prefix("sha256:"));
    ship(["verify", &place, "--sha256", wrong.expect("a digest")]).fails_with(&[
        "Istio refuses",
        "is the digest of the module",
        hex,
    ]);
    // And for a file it is the other way round.
    ship(["verify", &plugin, "--sha256", wrong.expect("a digest")]).succeeds();
    ship(["verify", &plugin, "--sha256", hex]).fails_with(&["is not the digest of this module"]);
}

#[test]
fn verify_says_each_refusal_in_a_line() {
    let folder = Folder::new();
    let imports = r#"(import "env" "a" (func)) (import "env" "b" (func))"#;
    let wrong = folder.file("wrong.wasm", module(imports));
    let done = ship(["verify", &wrong]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stdout.is_empty());
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, name) in lines.iter().zip(["`a`", "`b`"]) {
        assert!(line.starts_with("error: Envoy refuses `"), "{line}");
        assert!(line.contains(name), "{line}");
    }
    let done = ship(["verify", &wrong, "--format", "json"]);
    assert_eq!(done.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(result["refusals"].as_array().map(Vec::len), Some(2));
    assert_eq!(result["refusals"][0]["by"], "Envoy");
    assert_eq!(done.stderr.lines().count(), 2);

    let component = guests::component("hello", Shape::Wasip2).expect("a component");
    let component = folder.file("component.wasm", component);
    ship(["verify", &component]).fails_with(&[
        "Envoy refuses",
        "it is a component",
        "`tidegate adapt`",
    ]);
    run(["verify", "-"], None, b"no wasm").fails_with(&["it is not a WebAssembly binary"]);
    ship(["verify", &text(&folder.path("absent"))]).lacks(&["cannot read", "absent"]);
    ship(["verify", "https://example.com/p.wasm"]).misses("only files and `oci://` references");
    ship(["verify", "oci://p"]).misses("the registry is missing");
}

/// The agent takes a realm for where it is to go, even where it is a name, and does not go there.
#[test]
#[ignore = "needs docker-registry"]
fn verify_knows_realms_that_the_agent_does_not_follow_needs_docker_registry() {
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
        pulled.stderr.contains("see `tidegate verify`"),
        "{}",
        pulled.stderr
    );
    run(&["verify", &place]).fails_with(&["Istio refuses", "the realm `a realm"]);
}

/// Modules, and whether Envoy loads them.
fn modules() -> Vec<(&'static str, String, bool)> {
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
    vec![
        (
            "plain",
            of("0_2_1", &[&new_to_old, &level, &headers(3), MEMORY, MALLOC]),
            true,
        ),
        (
            "old",
            of(
                "0_1_0",
                &[&new_to_old, &request, &headers(2), MEMORY, MALLOC],
            ),
            true,
        ),
        ("unmarked", format!("(module {MEMORY} {MALLOC})"), false),
        ("marked-anew", of("0_3_0", &[MEMORY, MALLOC]), false),
        ("level", of("0_2_0", &[&level, MEMORY, MALLOC]), false),
        ("request", of("0_2_1", &[&request, MEMORY, MALLOC]), false),
        (
            "callback",
            of("0_2_1", &[&headers(2), MEMORY, MALLOC]),
            false,
        ),
        (
            "type",
            of(
                "0_2_1",
                &[&import("proxy_log", "(param i32)"), MEMORY, MALLOC],
            ),
            false,
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
            false,
        ),
        ("allocator", of("0_2_1", &[MEMORY]), false),
        (
            "global",
            of(
                "0_2_1",
                &[r#"(import "env" "g" (global i32))"#, MEMORY, MALLOC],
            ),
            false,
        ),
        (
            "table",
            of(
                "0_2_1",
                &[r#"(import "env" "t" (table 1 funcref))"#, MEMORY, MALLOC],
            ),
            true,
        ),
        (
            "tail-call",
            of(
                "0_2_1",
                &[MEMORY, MALLOC, "(func $t (result i32) return_call $t)"],
            ),
            true,
        ),
        ("component", "(component)".to_owned(), false),
    ]
}

fn agrees(release: Release) {
    let envoy = match tidegate_tests::envoy(release).expect("an Envoy") {
        Ok(envoy) => envoy,
        Err(no_wheel) => return eprintln!("{no_wheel}"),
    };
    let folder = Folder::new();
    for (name, module, is_loaded) in modules() {
        let plugin = folder.file(
            &format!("{name}.wasm"),
            wat::parse_str(&module).expect(name),
        );
        let done = ship(["verify", &plugin]);
        assert_eq!(done.status.success(), is_loaded, "{name}: {}", done.stderr);
        let bootstrap = folder.file("envoy.json", bootstrap(&plugin).to_string());
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "-c", &bootstrap])
            .output()
            .expect("Envoy");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_loaded, "{name}: {said}");
    }
}

/// The least that makes Envoy load a module.
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
fn newest_envoy_agrees() {
    agrees(Release::V1_40_0);
}

#[test]
fn oldest_envoy_agrees() {
    agrees(Release::V1_36_4);
}
