//! Modules that trap, loop, grow, and pass invalid pointers. The host keeps running.

use super::*;

#[test]
fn trap_is_contained_and_logged_with_a_backtrace() {
    let text = callback("", "unreachable");
    let fixture = start(PluginSpec {
        restart_interval: Duration::ZERO,
        ..plugin(&text)
    });
    for _ in 0..2 {
        let (effects, lines) = fixture.request();
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
fn infinite_loop_is_terminated() {
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
fn infinite_recursion_is_terminated() {
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
fn module_exceeding_the_memory_limit_fails_to_start() {
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
fn hostcall_from_the_allocator_traps() {
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
fn invalid_allocator_result_fails_only_the_hostcall() {
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

/// Calls hostcalls that take pointers with the worst values for each pointer. A call returns a status or traps, and the
/// host keeps running.
#[test]
fn hostile_pointers_never_crash_the_host() {
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
                // The other arguments are harmless: a small address and size.
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
        let fixture = start(PluginSpec {
            environment: environment.clone(),
            ..plugin(&text)
        });
        let (_, lines) = fixture.request();
        let last = lines.last().unwrap();
        assert!(
            last == "info 99" || last.starts_with("critical `proxy_on_request_headers` failed"),
            "{name}: {last}"
        );
    }
}

#[test]
fn out_of_bounds_pointers_return_invalid_memory_access() {
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
fn oversized_overlapping_iovecs_return_einval() {
    // One write of 3584 times the whole memory.
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
fn identical_modules_share_an_instance_per_worker() {
    // Each callback increments a counter in memory, and logs it.
    let text = callback(
        "",
        r#"(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
           (call $status (i32.load (i32.const 0)))"#,
    );
    let lines = Arc::new(LogCapture::default());
    let runtime = Runtime::new(RuntimeConfig::new(lines.clone())).unwrap();
    let specs = [
        plugin(&text),
        PluginSpec {
            name: "again".to_owned(),
            ..plugin(&text)
        },
        PluginSpec {
            name: "apart".to_owned(),
            vm_configuration: b"apart".to_vec(),
            ..plugin(&text)
        },
    ];
    let chain = runtime.load(&specs).unwrap();
    for worker in 0..2 {
        let chain = chain.start_worker(worker).unwrap();
        let mut stream = chain.open(Rc::new(|| ()));
        stream.request_headers(request(), true);
    }
    // The first two plugins share an instance. The third has another VM configuration. Each worker has its own instances.
    let of_worker = ["info 01", "info 02", "info 01"];
    assert_eq!(lines.take(), [of_worker, of_worker].concat());
}
