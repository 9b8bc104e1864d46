//! The engine against modules in text form: what loads, what is refused, and what hostile modules get.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::ManualClock;
use crate::fields::{Fields, Name};
use crate::limits::Limits;
use crate::logs::{LogLine, LogSink};
use crate::plugin::PluginSpec;
use crate::runtime::{LoadError, Runtime, RuntimeConfig, StartError, WorkerChain};
use crate::stream::{Effect, Stream};

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, line: &LogLine<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {}", line.level, line.message));
    }
}

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A worker with one plugin, and its log.
struct Home {
    chain: WorkerChain,
    lines: Arc<Lines>,
}

fn plugin(text: &str) -> PluginSpec {
    PluginSpec::new("plugin", wat::parse_str(text).unwrap())
}

fn load(spec: PluginSpec) -> Result<crate::Chain, LoadError> {
    Runtime::new(RuntimeConfig::new(Arc::new(Lines::default())))
        .unwrap()
        .load(&[spec])
}

fn try_start(spec: PluginSpec) -> Result<Home, StartError> {
    let lines = Arc::new(Lines::default());
    let config = RuntimeConfig {
        clock: Arc::new(ManualClock::new(42)),
        ..RuntimeConfig::new(lines.clone())
    };
    let chain = Runtime::new(config)
        .unwrap()
        .load(&[spec])
        .unwrap()
        .start_worker(0)?;
    Ok(Home { chain, lines })
}

fn start(spec: PluginSpec) -> Home {
    try_start(spec).unwrap_or_else(|error| panic!("{error}"))
}

impl Home {
    fn open(&self) -> Stream {
        self.chain.open(Rc::new(|| ()))
    }

    /// The effects of one request without a body, and its log.
    fn request(&self) -> (Vec<Effect>, Vec<String>) {
        let mut stream = self.open();
        stream.request_headers(request(), true);
        let effects = std::iter::from_fn(|| stream.next_effect()).collect();
        stream.finish();
        (effects, self.lines.take())
    }
}

fn request() -> Fields {
    let list = [
        (":authority", "a"),
        (":path", "/"),
        (":method", "GET"),
        (":scheme", "http"),
        ("x", "1"),
        ("x", "2"),
    ];
    list.into_iter()
        .map(|(name, value)| {
            (
                Name::parse(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn status(effects: &[Effect]) -> Option<u16> {
    match effects {
        [Effect::ResponseHeaders { fields, end: true }] => Some(fields.status().unwrap().as_u16()),
        _ => None,
    }
}

/// A module of ABI 0.2.1 around these parts. Its allocator gives what is at 0x8000 and on.
fn module(parts: &str) -> String {
    format!(
        r#"(module
            {parts}
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 0x8000))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get $size))))
        )"#
    )
}

/// A module whose request headers callback is this, after these imports. `$say` logs bytes at an address; `$status` logs one
/// digit.
fn callback(imports: &str, body: &str) -> String {
    module(&format!(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           {imports}
           (func $say (param $at i32) (param $size i32)
               (drop (call $log (i32.const 2) (local.get $at) (local.get $size))))
           (func $status (param $status i32)
               (i32.store8 (i32.const 0x7f00) (i32.add (i32.const 0x30) (i32.div_u (local.get $status) (i32.const 10))))
               (i32.store8 (i32.const 0x7f01) (i32.add (i32.const 0x30) (i32.rem_u (local.get $status) (i32.const 10))))
               (call $say (i32.const 0x7f00) (i32.const 2)))
           (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
               {body}
               (i32.const 0))"#
    ))
}

// === Loading ===

#[test]
fn module_without_marker_is_refused() {
    let error = load(plugin(r#"(module (memory (export "memory") 1))"#))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, LoadError::UnknownAbi { .. }), "{error}");
}

#[test]
fn module_without_memory_or_allocator_is_refused() {
    let error = load(plugin(
        r#"(module (func (export "proxy_abi_version_0_2_0")))"#,
    ))
    .map(|_| ())
    .unwrap_err();
    assert!(
        error.to_string().contains("does not export `memory`"),
        "{error}"
    );
    let text = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))"#;
    let error = load(plugin(text)).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("`proxy_on_memory_allocate`"),
        "{error}"
    );
}

#[test]
fn callback_of_the_wrong_type_is_refused() {
    let text = module(
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (i32.const 0))"#,
    );
    let error = load(plugin(&text)).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("`proxy_on_request_headers`"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("expected (i32, i32, i32) -> (i32)"),
        "{error}"
    );
}

#[test]
fn unknown_import_is_refused_by_name() {
    let text = module(r#"(import "env" "proxy_make_coffee" (func))"#);
    let error = load(plugin(&text)).map(|_| ()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("proxy_make_coffee"), "{source}");
}

#[test]
fn import_of_another_abi_is_refused() {
    let text = module(r#"(import "env" "proxy_continue_request" (func (result i32)))"#);
    assert!(matches!(load(plugin(&text)), Err(LoadError::Import { .. })));
    let old = text.replace("0_2_1", "0_1_0");
    assert!(load(plugin(&old)).is_ok());
}

#[test]
fn bytes_that_are_no_wasm_are_refused() {
    let not = load(PluginSpec::new("plugin", Bytes::from_static(b"#!/bin/sh")))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(not, LoadError::NotWasm { .. }), "{not}");
    let cut = load(PluginSpec::new(
        "plugin",
        Bytes::from_static(b"\0asm\x01\0\0\0\x01"),
    ))
    .map(|_| ())
    .unwrap_err();
    assert!(matches!(cut, LoadError::Compile { .. }), "{cut}");
}

#[test]
fn every_import_of_the_specification_links() {
    let signatures = [
        ("proxy_log", "(param i32 i32 i32) (result i32)"),
        ("proxy_get_log_level", "(param i32) (result i32)"),
        (
            "proxy_get_current_time_nanoseconds",
            "(param i32) (result i32)",
        ),
        (
            "proxy_set_tick_period_milliseconds",
            "(param i32) (result i32)",
        ),
        (
            "proxy_set_buffer_bytes",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_get_buffer_bytes",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_get_buffer_status",
            "(param i32 i32 i32) (result i32)",
        ),
        ("proxy_get_header_map_size", "(param i32 i32) (result i32)"),
        (
            "proxy_get_header_map_pairs",
            "(param i32 i32 i32) (result i32)",
        ),
        (
            "proxy_set_header_map_pairs",
            "(param i32 i32 i32) (result i32)",
        ),
        (
            "proxy_get_header_map_value",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_add_header_map_value",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_replace_header_map_value",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_remove_header_map_value",
            "(param i32 i32 i32) (result i32)",
        ),
        ("proxy_continue_stream", "(param i32) (result i32)"),
        ("proxy_close_stream", "(param i32) (result i32)"),
        ("proxy_get_status", "(param i32 i32 i32) (result i32)"),
        (
            "proxy_send_local_response",
            "(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_http_call",
            "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_grpc_call",
            "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_grpc_stream",
            "(param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
        ),
        ("proxy_grpc_send", "(param i32 i32 i32 i32) (result i32)"),
        ("proxy_grpc_cancel", "(param i32) (result i32)"),
        ("proxy_grpc_close", "(param i32) (result i32)"),
        (
            "proxy_set_shared_data",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_get_shared_data",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_register_shared_queue",
            "(param i32 i32 i32) (result i32)",
        ),
        (
            "proxy_resolve_shared_queue",
            "(param i32 i32 i32 i32 i32) (result i32)",
        ),
        (
            "proxy_enqueue_shared_queue",
            "(param i32 i32 i32) (result i32)",
        ),
        (
            "proxy_dequeue_shared_queue",
            "(param i32 i32 i32) (result i32)",
        ),
        (
            "proxy_define_metric",
            "(param i32 i32 i32 i32) (result i32)",
        ),
        ("proxy_record_metric", "(param i32 i64) (result i32)"),
        ("proxy_increment_metric", "(param i32 i64) (result i32)"),
        ("proxy_get_metric", "(param i32 i32) (result i32)"),
        ("proxy_get_property", "(param i32 i32 i32 i32) (result i32)"),
        ("proxy_set_property", "(param i32 i32 i32 i32) (result i32)"),
        (
            "proxy_call_foreign_function",
            "(param i32 i32 i32 i32 i32 i32) (result i32)",
        ),
        ("proxy_set_effective_context", "(param i32) (result i32)"),
        ("proxy_done", "(result i32)"),
    ];
    let imports: String = signatures
        .iter()
        .map(|(name, ty)| format!(r#"(import "env" "{name}" (func {ty}))"#))
        .collect();
    load(plugin(&module(&imports))).unwrap();
}

// === Starting ===

#[test]
fn start_up_runs_in_envoys_order() {
    let say = |text: &str| {
        let at = match text {
            "init" => 0,
            "create" => 8,
            "vm" => 16,
            _ => 24,
        };
        format!(
            "(drop (call $log (i32.const 2) (i32.const {at}) (i32.const {})))",
            text.len()
        )
    };
    let text = module(&format!(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (data (i32.const 0) "init") (data (i32.const 8) "create") (data (i32.const 16) "vm") (data (i32.const 24) "configure")
           (func (export "_initialize") {})
           (func (export "_start") unreachable)
           (func (export "proxy_on_context_create") (param i32 i32) {})
           (func (export "proxy_on_vm_start") (param i32 i32) (result i32) {} (i32.const 1))
           (func (export "proxy_on_configure") (param i32 i32) (result i32) {} (i32.eq (local.get 1) (i32.const 3)))"#,
        say("init"),
        say("create"),
        say("vm"),
        say("configure"),
    ));
    let home = start(PluginSpec {
        configuration: b"abc".to_vec(),
        ..plugin(&text)
    });
    assert_eq!(
        home.lines.take(),
        ["info init", "info create", "info vm", "info configure"]
    );
    let refused = try_start(plugin(&text)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Refused { .. }), "{refused}");
}

#[test]
fn hostcall_while_the_module_starts_traps() {
    let text = module(
        r#"(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
           (func (export "_initialize") (drop (call $now (i32.const 0))))"#,
    );
    let error = try_start(plugin(&text)).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("called while the module starts"),
        "{error}"
    );
}

#[test]
fn configuration_is_there_while_it_is_configured_only() {
    let get = r#"(import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;
    let text = module(&format!(
        r#"{get}
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
               (drop (call $get (i32.const 7) (i32.const 1) (i32.const 100) (i32.const 0) (i32.const 4)))
               (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
               (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (if (i32.ne (i32.const 1) (call $get (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
                   (then unreachable))
               (i32.const 0))"#
    ));
    let home = start(PluginSpec {
        configuration: b"abc".to_vec(),
        ..plugin(&text)
    });
    assert_eq!(home.lines.take(), ["info bc"]);
    assert!(matches!(
        home.request().0[..],
        [Effect::RequestHeaders { end: true, .. }]
    ));
}

// === Callbacks and hostcalls ===

#[test]
fn header_operations_reach_the_request() {
    let text = callback(
        r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
           (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "X") (data (i32.const 8) "y") (data (i32.const 16) ":path") (data (i32.const 32) "/new")"#,
        r#"(call $status (call $get (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 68)))
           (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))
           (call $status (call $get (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 68)))
           (call $status (call $get (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 68)))
           (call $status (call $remove (i32.const 0) (i32.const 0) (i32.const 1)))
           (call $status (call $add (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 0) (i32.const 0)))
           (call $status (call $set (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 4)))
           (call $status (call $set (i32.const 8) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 4)))
           (call $status (call $set (i32.const 6) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 4)))"#,
    );
    let (effects, lines) = start(plugin(&text)).request();
    // Found; its first value; absent; a map that is not there; done, done, done; a map that nobody has; one of a callout.
    assert_eq!(
        lines,
        [
            "info 00", "info 1", "info 01", "info 02", "info 00", "info 00", "info 00", "info 02",
            "info 02"
        ]
    );
    let [Effect::RequestHeaders { fields, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    let list: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        list,
        [
            (":authority", "a"),
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/new"),
            ("y", "")
        ]
    );
}

#[test]
fn pairs_come_and_go() {
    let text = callback(
        r#"(import "env" "proxy_get_header_map_pairs" (func $get (param i32 i32 i32) (result i32)))
           (import "env" "proxy_set_header_map_pairs" (func $set (param i32 i32 i32) (result i32)))
           (import "env" "proxy_get_header_map_size" (func $size (param i32 i32) (result i32)))"#,
        r#"(call $status (call $size (i32.const 0) (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $get (i32.const 0) (i32.const 64) (i32.const 68)))
           (call $status (call $set (i32.const 0) (i32.load (i32.const 64)) (i32.load (i32.const 68))))
           (call $status (call $get (i32.const 2) (i32.const 64) (i32.const 68)))
           (call $status (i32.add (i32.load (i32.const 64)) (i32.load (i32.const 68))))"#,
    );
    let (effects, lines) = start(plugin(&text)).request();
    let size: usize = request().byte_size();
    assert_eq!(
        lines,
        [
            "info 00",
            &format!("info {size}"),
            "info 00",
            "info 00",
            "info 00",
            "info 00"
        ]
    );
    assert_eq!(
        effects,
        [Effect::RequestHeaders {
            fields: request(),
            end: true
        }]
    );
}

#[test]
fn malformed_pairs_wipe_all_as_in_envoy() {
    let text = callback(
        r#"(import "env" "proxy_set_header_map_pairs" (func $set (param i32 i32 i32) (result i32)))
           (data (i32.const 0) "\ff\ff\ff\ff")"#,
        "(call $status (call $set (i32.const 0) (i32.const 0) (i32.const 4)))",
    );
    let (effects, lines) = start(plugin(&text)).request();
    assert_eq!(lines, ["info 00"]);
    assert_eq!(
        effects,
        [Effect::RequestHeaders {
            fields: Fields::new(),
            end: true
        }]
    );
}

#[test]
fn local_response_is_sent() {
    let text = callback(
        r#"(import "env" "proxy_send_local_response" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "body")
           (data (i32.const 16) "\01\00\00\00\01\00\00\00\01\00\00\00a\00b\00")"#,
        r#"(call $status (call $send (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4)
               (i32.const 16) (i32.const 16) (i32.const -1)))"#,
    );
    let (effects, lines) = start(plugin(&text)).request();
    assert_eq!(lines, ["info 00"]);
    let [
        Effect::ResponseHeaders { fields, end: false },
        Effect::ResponseBody { data, end: true },
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (fields.status().unwrap().as_u16(), &data[..]),
        (403, &b"body"[..])
    );
    assert_eq!(fields.get("a").unwrap(), "b");
}

#[test]
fn body_can_be_read_and_changed_at_its_ends() {
    let text = module(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_get_buffer_status" (func $size (param i32 i32 i32) (result i32)))
           (data (i32.const 0) "<") (data (i32.const 8) ">")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               ;; No body yet: empty, and not to be changed.
               (if (call $get (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 64) (i32.const 68)) (then unreachable))
               (if (i32.load (i32.const 68)) (then unreachable))
               (if (i32.ne (i32.const 2) (call $set (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 1)))
                   (then unreachable))
               (i32.const 0))
           (func (export "proxy_on_request_body") (param $context i32) (param $size i32) (param $end i32) (result i32)
               (if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
               (if (i32.ne (local.get $size) (i32.const 6)) (then unreachable))
               (if (call $size (i32.const 0) (i32.const 64) (i32.const 68)) (then unreachable))
               (if (i32.ne (i32.load (i32.const 64)) (i32.const 6)) (then unreachable))
               ;; From the middle, more than there is.
               (if (call $get (i32.const 0) (i32.const 2) (i32.const 99) (i32.const 64) (i32.const 68)) (then unreachable))
               (drop (call $log (i32.const 2) (i32.load (i32.const 64)) (i32.load (i32.const 68))))
               ;; In the middle nothing can be changed.
               (if (i32.ne (i32.const 2) (call $set (i32.const 0) (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 1)))
                   (then unreachable))
               ;; The first byte is replaced, and one added at the end.
               (if (call $set (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)) (then unreachable))
               (if (call $set (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 8) (i32.const 1)) (then unreachable))
               (i32.const 0))"#,
    );
    let home = start(plugin(&text));
    let mut stream = home.open();
    stream.request_headers(request(), false);
    stream.request_body(Bytes::from_static(b"abc"), false);
    stream.request_body(Bytes::from_static(b"def"), true);
    let mut body = Vec::new();
    let mut ended = false;
    while let Some(effect) = stream.next_effect() {
        if let Effect::RequestBody { data, end } = effect {
            body.extend(data);
            ended = end;
        }
    }
    assert_eq!(
        (String::from_utf8(body).unwrap(), ended),
        ("<bcdef>".to_owned(), true)
    );
    assert_eq!(home.lines.take(), ["info cdef"]);
}

#[test]
fn context_is_chosen_and_comes_back() {
    // The first stream is context 2, the plugin 1; a number that nobody has is refused.
    let text = callback(
        r#"(import "env" "proxy_set_effective_context" (func $choose (param i32) (result i32)))
           (import "env" "proxy_get_header_map_size" (func $size (param i32 i32) (result i32)))"#,
        r#"(call $status (call $choose (i32.const 77)))
           (call $status (call $choose (i32.const 1)))
           (call $status (call $size (i32.const 0) (i32.const 64)))
           (call $status (call $choose (local.get $context)))
           (call $status (call $size (i32.const 0) (i32.const 64)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(
        lines,
        ["info 02", "info 00", "info 02", "info 00", "info 00"]
    );
}

#[test]
fn time_is_the_runtimes() {
    let text = callback(
        r#"(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
           (import "wasi_snapshot_preview1" "clock_time_get" (func $wasi (param i32 i64 i32) (result i32)))"#,
        r#"(call $status (call $now (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $wasi (i32.const 0) (i64.const 0) (i32.const 72)))
           (call $status (i32.load (i32.const 72)))
           (call $status (call $wasi (i32.const 3) (i64.const 0) (i32.const 72)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(
        lines,
        ["info 00", "info 42", "info 00", "info 42", "info 58"]
    );
}

#[test]
fn wasi_prints_to_the_log_and_gives_the_environment() {
    let text = callback(
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
           (import "wasi_unstable" "environ_get" (func $environ (param i32 i32) (result i32)))
           (import "wasi_unstable" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
           (data (i32.const 0) "\10\00\00\00\03\00\00\00\13\00\00\00\02\00\00\00one2\0a")"#,
        r#"(call $status (call $write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 64)))
           (call $status (call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 64)))
           (call $status (call $sizes (i32.const 64) (i32.const 68)))
           (call $status (call $environ (i32.const 72) (i32.const 128)))
           (call $say (i32.load (i32.const 72)) (i32.sub (i32.load (i32.const 68)) (i32.const 1)))"#,
    );
    let environment = vec![("KEY".to_owned(), "value".to_owned())];
    let (_, lines) = start(PluginSpec {
        environment,
        ..plugin(&text)
    })
    .request();
    assert_eq!(
        lines,
        [
            "info one2",
            "info 00",
            "info 05",
            "error one",
            "info 00",
            "info 08",
            "info 00",
            "info 00",
            "info KEY=value"
        ]
    );
}

#[test]
fn abi_0_1_0_has_its_own_calls() {
    let text = r#"(module
        (import "env" "proxy_continue_request" (func $continue (result i32)))
        (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_1_0"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0x1000))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $configuration (i32.const 0) (i32.const 4)))
            (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
            (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
            (drop (call $continue))
            (i32.const 1)))"#;
    let home = start(PluginSpec {
        configuration: b"old".to_vec(),
        ..plugin(text)
    });
    assert_eq!(home.lines.take(), ["info old"]);
    assert!(matches!(
        home.request().0[..],
        [Effect::RequestHeaders { .. }]
    ));
}

#[test]
fn unimplemented_hostcall_warns() {
    let text = callback(
        r#"(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "plugin_name")"#,
        r#"(call $status (call $define (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))
           (call $status (call $property (i32.const 0) (i32.const 6) (i32.const 64) (i32.const 68)))
           (call $status (call $property (i32.const 0) (i32.const 11) (i32.const 64) (i32.const 68)))
           (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(
        lines,
        [
            "warn `proxy_define_metric` is not there: this host has it not yet",
            "info 12",
            "info 01",
            "info 00",
            "info plugin"
        ]
    );
}

// === Hostile modules ===

#[test]
fn trap_is_contained_and_told() {
    let text = callback("", "unreachable");
    let home = start(plugin(&text));
    for _ in 0..2 {
        let (effects, lines) = home.request();
        assert_eq!(status(&effects), Some(503));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("critical `proxy_on_request_headers` failed: "),
            "{lines:?}"
        );
        assert!(lines[0].contains("unreachable"), "{lines:?}");
        assert!(lines[0].lines().count() > 1, "no backtrace: {lines:?}");
    }
}

#[test]
fn endless_loop_is_ended() {
    let text = callback("", "(loop $forever (br $forever))");
    let limits = Limits {
        callback: Duration::from_millis(20),
        ..Limits::default()
    };
    let (effects, lines) = start(PluginSpec {
        limits,
        ..plugin(&text)
    })
    .request();
    assert_eq!(status(&effects), Some(503));
    assert!(
        lines[0].contains("it took longer than its limit of 20ms"),
        "{lines:?}"
    );
}

#[test]
fn endless_recursion_is_ended() {
    let text = callback("(func $down (call $down))", "(call $down)");
    let (effects, lines) = start(plugin(&text)).request();
    assert_eq!(status(&effects), Some(503));
    assert!(lines[0].contains("stack"), "{lines:?}");
}

#[test]
fn memory_is_capped() {
    let text = callback(
        "",
        r#"(call $status (i32.eq (i32.const -1) (memory.grow (i32.const 100))))
           (call $status (i32.eq (i32.const -1) (memory.grow (i32.const 1))))"#,
    );
    let limits = Limits {
        memory: 4 << 16,
        ..Limits::default()
    };
    let (_, lines) = start(PluginSpec {
        limits,
        ..plugin(&text)
    })
    .request();
    assert_eq!(lines, ["info 01", "info 00"]);
}

#[test]
fn module_that_wants_more_memory_than_it_may_have_does_not_start() {
    let limits = Limits {
        memory: 1 << 10,
        ..Limits::default()
    };
    let error = try_start(PluginSpec {
        limits,
        ..plugin(&module(""))
    })
    .map(|_| ())
    .unwrap_err();
    assert!(matches!(error, StartError::Trapped { .. }), "{error}");
}

#[test]
fn allocator_may_not_call_back() {
    let text = r#"(module
        (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func $again (export "proxy_on_memory_allocate") (param i32) (result i32)
            (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $pairs (i32.const 0) (i32.const 0) (i32.const 4))))"#;
    let (effects, lines) = start(plugin(text)).request();
    assert_eq!(status(&effects), Some(503));
    assert!(lines[0].contains("called by the allocator"), "{lines:?}");
}

#[test]
fn allocator_that_gives_nothing_or_nonsense_is_survived() {
    for at in ["0", "-1", "0xfffff", "0xfff8"] {
        let text = format!(
            r#"(module
                (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
                (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const {at}))
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (if (i32.ne (i32.const 6) (call $pairs (i32.const 0) (i32.const 0) (i32.const 4))) (then unreachable))
                    (i32.const 0)))"#
        );
        let (effects, lines) = start(plugin(&text)).request();
        assert!(
            matches!(effects[..], [Effect::RequestHeaders { .. }]),
            "{at}: {lines:?}"
        );
    }
}

/// Every hostcall that takes pointers, with each of them at its worst: an answer, or a trap, and the host goes on.
#[test]
fn no_pointer_harms_the_host() {
    let calls = [
        ("env", "proxy_log", "ipp"),
        ("env", "proxy_get_log_level", "p"),
        ("env", "proxy_get_current_time_nanoseconds", "p"),
        ("env", "proxy_get_header_map_value", "ipppp"),
        ("env", "proxy_add_header_map_value", "ipppp"),
        ("env", "proxy_replace_header_map_value", "ipppp"),
        ("env", "proxy_remove_header_map_value", "ipp"),
        ("env", "proxy_get_header_map_pairs", "ipp"),
        ("env", "proxy_set_header_map_pairs", "ipp"),
        ("env", "proxy_get_header_map_size", "ip"),
        ("env", "proxy_get_buffer_bytes", "ipppp"),
        ("env", "proxy_get_buffer_status", "ipp"),
        ("env", "proxy_set_buffer_bytes", "ipppp"),
        ("env", "proxy_send_local_response", "ippppppp"),
        ("env", "proxy_get_status", "ppp"),
        ("env", "proxy_get_property", "pppp"),
        ("wasi_snapshot_preview1", "fd_write", "fppp"),
        ("wasi_snapshot_preview1", "fd_pwrite", "fpplp"),
        ("wasi_snapshot_preview1", "fd_fdstat_get", "fp"),
        ("wasi_snapshot_preview1", "environ_get", "pp"),
        ("wasi_snapshot_preview1", "environ_sizes_get", "pp"),
        ("wasi_snapshot_preview1", "args_sizes_get", "pp"),
        ("wasi_snapshot_preview1", "clock_time_get", "ilp"),
        ("wasi_snapshot_preview1", "clock_res_get", "ip"),
        ("wasi_snapshot_preview1", "random_get", "pp"),
        ("wasi_snapshot_preview1", "poll_oneoff", "pppp"),
    ];
    let worst = [
        "0",
        "1",
        "-1",
        "0x7fffffff",
        "0x80000000",
        "0xffff",
        "0x10000",
        "0xfffe",
    ];
    let environment = vec![("A".to_owned(), "b".to_owned())];
    for (from, name, parameters) in calls {
        let types: String = parameters
            .chars()
            .map(|it| if it == 'l' { "i64 " } else { "i32 " })
            .collect();
        let mut body = String::new();
        for pointer in worst {
            for (place, kind) in parameters.char_indices() {
                if kind != 'p' {
                    continue;
                }
                // The others are harmless: a small place and size.
                let arguments: String = parameters
                    .char_indices()
                    .map(|(at, kind)| match kind {
                        _ if at == place => format!("(i32.const {pointer})"),
                        'l' => "(i64.const 0)".to_owned(),
                        'f' => "(i32.const 1)".to_owned(),
                        'p' => "(i32.const 8)".to_owned(),
                        _ => "(i32.const 0)".to_owned(),
                    })
                    .collect();
                body += &format!("(drop (call $call {arguments}))");
            }
            let all: String = parameters
                .chars()
                .map(|kind| match kind {
                    'l' => "(i64.const 0)".to_owned(),
                    'f' => "(i32.const 1)".to_owned(),
                    'i' => "(i32.const 0)".to_owned(),
                    _ => format!("(i32.const {pointer})"),
                })
                .collect();
            body += &format!("(drop (call $call {all}))");
        }
        let text = callback(
            &format!(r#"(import "{from}" "{name}" (func $call (param {types}) (result i32)))"#),
            &format!("{body} (call $status (i32.const 99))"),
        );
        let home = start(PluginSpec {
            environment: environment.clone(),
            ..plugin(&text)
        });
        let (_, lines) = home.request();
        let last = lines.last().unwrap();
        assert!(
            last == "info 99" || last.starts_with("critical `proxy_on_request_headers` failed"),
            "{name}: {last}"
        );
    }
}

#[test]
fn pointers_out_of_memory_are_answered() {
    let text = callback(
        r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "x")"#,
        r#"(call $status (call $add (i32.const 0) (i32.const 0xffff) (i32.const 2) (i32.const 0) (i32.const 1)))
           (call $status (call $add (i32.const 0) (i32.const 0) (i32.const 1) (i32.const -1) (i32.const -1)))
           (call $status (call $get (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0xfffd) (i32.const 0)))
           (call $status (call $get (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0x70) (i32.const -4)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(lines, ["info 06", "info 06", "info 06", "info 06"]);
}

#[test]
fn one_list_of_the_same_bytes_over_and_over_takes_no_memory() {
    // Eight thousand times the whole memory in one write.
    let text = callback(
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
        r#"(local $i i32)
           (loop $fill
               (i32.store (local.get $i) (i32.const 0))
               (i32.store offset=4 (local.get $i) (i32.const 0x10000))
               (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 0x7000))))
           (call $status (call $write (i32.const 1) (i32.const 0) (i32.const 0xe00) (i32.const 0x7ff0)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    assert_eq!(lines, ["info 28"]);
}

#[test]
fn plugins_of_equal_bytes_share_an_instance() {
    // Each request counts one up in memory, and logs the count.
    let text = callback(
        "",
        r#"(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
           (call $status (i32.load (i32.const 0)))"#,
    );
    let lines = Arc::new(Lines::default());
    let runtime = Runtime::new(RuntimeConfig::new(lines.clone())).unwrap();
    let specs = [
        plugin(&text),
        PluginSpec {
            name: "again".to_owned(),
            ..plugin(&text)
        },
    ];
    let chain = runtime.load(&specs).unwrap();
    for worker in 0..2 {
        let chain = chain.start_worker(worker).unwrap();
        let mut stream = chain.open(Rc::new(|| ()));
        stream.request_headers(request(), true);
    }
    // Two plugins in one instance, and an instance for each worker.
    assert_eq!(lines.take(), ["info 01", "info 02", "info 01", "info 02"]);
}
