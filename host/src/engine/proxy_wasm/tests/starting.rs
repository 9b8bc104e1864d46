//! Which modules load, which are rejected, and the order in which a module is started.

use super::*;

#[test]
fn module_without_abi_marker_is_rejected() {
    let error = load(plugin(r#"(module (memory (export "memory") 1))"#))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, LoadError::UnknownAbi { .. }), "{error}");
}

#[test]
fn module_without_memory_or_allocator_is_rejected() {
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
fn callback_with_wrong_type_is_rejected_and_named() {
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
fn unknown_import_is_rejected_and_named() {
    let text = module(r#"(import "env" "proxy_make_coffee" (func))"#);
    let error = load(plugin(&text)).map(|_| ()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("proxy_make_coffee"), "{source}");
}

#[test]
fn import_of_another_abi_is_rejected() {
    let text = module(r#"(import "env" "proxy_continue_request" (func (result i32)))"#);
    assert!(matches!(load(plugin(&text)), Err(LoadError::Import { .. })));
    let old = text.replace("0_2_1", "0_1_0");
    assert!(load(plugin(&old)).is_ok());
}

#[test]
fn non_wasm_or_truncated_bytes_are_rejected() {
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
fn startup_follows_envoys_order() {
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
    let fixture = start(PluginSpec {
        configuration: b"abc".to_vec(),
        ..plugin(&text)
    });
    assert_eq!(
        fixture.lines.take(),
        ["info init", "info create", "info vm", "info configure"]
    );
    let refused = try_start(plugin(&text)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Refused { .. }), "{refused}");
}

#[test]
fn hostcall_during_module_initialization_traps() {
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
fn configuration_is_readable_only_during_on_configure() {
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
    let fixture = start(PluginSpec {
        configuration: b"abc".to_vec(),
        ..plugin(&text)
    });
    assert_eq!(fixture.lines.take(), ["info bc"]);
    assert!(matches!(
        fixture.request().0[..],
        [Effect::RequestHeaders { end: true, .. }]
    ));
}

#[test]
fn vm_configuration_is_readable_at_any_time() {
    let text = module(
        r#"(import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
               (i32.eq (local.get 1) (i32.const 3)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (drop (call $get (i32.const 6) (i32.const 1) (i32.const 100) (i32.const 0) (i32.const 4)))
               (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
               (i32.const 0))"#,
    );
    let fixture = start(PluginSpec {
        vm_configuration: b"abc".to_vec(),
        ..plugin(&text)
    });
    assert_eq!(fixture.request().1, ["info bc"]);
    let refused = try_start(plugin(&text)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Refused { .. }), "{refused}");
}
