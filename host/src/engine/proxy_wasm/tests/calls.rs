//! Callbacks and hostcalls, as a module sees them.

use super::*;

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
    // In order: found; its first value; an absent field; an absent map; three successful changes; an unknown map; a map of
    // callouts.
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
fn header_pairs_round_trip() {
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
fn malformed_pairs_clear_all_headers_as_in_envoy() {
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
fn body_can_be_read_but_edited_only_at_its_ends() {
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
    let fixture = start(plugin(&text));
    let mut stream = fixture.open();
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
    assert_eq!(fixture.lines.take(), ["info cdef"]);
}

#[test]
fn effective_context_can_be_switched_and_restored() {
    // The plugin is context 1, the first stream context 2. An unknown ID is rejected.
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
fn time_comes_from_the_runtime_clock() {
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
fn wasi_output_is_logged_and_environment_is_provided() {
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
fn abi_0_1_0_hostcalls_are_supported() {
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
    let fixture = start(PluginSpec {
        configuration: b"old".to_vec(),
        ..plugin(text)
    });
    assert_eq!(fixture.lines.take(), ["info old"]);
    assert!(matches!(
        fixture.request().0[..],
        [Effect::RequestHeaders { .. }]
    ));
}

#[test]
fn metrics_behave_as_in_envoy() {
    let text = callback(
        r#"(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
           (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
           (import "env" "proxy_get_metric" (func $get (param i32 i32) (result i32)))
           (data (i32.const 0) "hits")"#,
        r#"(call $status (call $define (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $define (i32.const 2) (i32.const 0) (i32.const 4) (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $increment (i32.const 4) (i64.const 3)))
           (call $status (call $record (i32.const 4) (i64.const 2)))
           (call $status (call $get (i32.const 4) (i32.const 72)))
           (call $status (i32.load (i32.const 72)))
           ;; Refused: an unknown kind, a counter that would not increase, a histogram, a number that is not defined.
           (call $status (call $define (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 64)))
           (call $status (call $increment (i32.const 4) (i64.const 0)))
           (call $status (call $increment (i32.const 6) (i64.const 1)))
           (call $status (call $get (i32.const 6) (i32.const 72)))
           (call $status (call $get (i32.const 10) (i32.const 72)))
           (call $status (call $increment (i32.const 7) (i64.const 1)))
           (call $status (call $get (i32.const 8) (i32.const 72)))
           (call $status (call $record (i32.const 7) (i64.const 1)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    let expected = [
        "00", "04", "00", "06", "00", "00", "00", "05", "02", "02", "02", "02", "02", "02", "01",
        "01",
    ];
    assert_eq!(lines, expected.map(|it| format!("info {it}")));
}

#[test]
fn queue_is_registered_and_emptied() {
    let text = callback(
        r#"(import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
           (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
           (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
           (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
           (data (i32.const 0) "plugin_name")"#,
        r#"(call $status (call $register (i32.const 0) (i32.const 6) (i32.const 64)))
           (call $status (i32.load (i32.const 64)))
           (call $status (call $resolve (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 64)))
           (call $status (call $enqueue (i32.const 1) (i32.const 0) (i32.const 11)))
           (call $status (call $dequeue (i32.const 1) (i32.const 64) (i32.const 68)))
           (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))
           ;; Refused: an empty queue, a queue that does not exist, another virtual machine.
           (call $status (call $dequeue (i32.const 1) (i32.const 64) (i32.const 68)))
           (call $status (call $dequeue (i32.const 9) (i32.const 64) (i32.const 68)))
           (call $status (call $enqueue (i32.const 9) (i32.const 0) (i32.const 11)))
           (call $status (call $resolve (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 64)))"#,
    );
    let (_, lines) = start(plugin(&text)).request();
    let expected = [
        "00",
        "01",
        "00",
        "00",
        "00",
        "plugin_name",
        "07",
        "01",
        "01",
        "01",
    ];
    assert_eq!(lines, expected.map(|it| format!("info {it}")));
}
