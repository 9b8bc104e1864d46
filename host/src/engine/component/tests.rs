//! Tests of the engine with components built from text: which are rejected when they are loaded, WASI inside tokio, and
//! hostile guests.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidegate_semantics::limits::Limits;
use tidegate_semantics::plugin::{EngineKind, FailurePolicy, PluginSpec};
use tidegate_semantics::port::manual::ManualPort;
use tidegate_semantics::stream::Effect;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::config::RuntimeConfig;
use crate::error::{LoadError, StartError};
use crate::runtime::{Runtime, WorkerChain};
use crate::test_support::LogCapture;
use crate::test_support::fields;
use crate::{ChainConfig, ManualClock, PluginClock};

/// The part of WASI that these tests use, in a version that some library may import. The types are WASI's, but the
/// interfaces are incomplete.
const WASI: &str = r#"
    package wasi:io@0.2.6 {
        interface error { resource error; }
        interface poll {
            resource pollable { ready: func() -> bool; block: func(); }
            poll: func(in: list<borrow<pollable>>) -> list<u32>;
        }
        interface streams {
            use error.{error};
            use poll.{pollable};
            variant stream-error { last-operation-failed(error), closed }
            resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
            resource output-stream {
                check-write: func() -> result<u64, stream-error>;
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                subscribe: func() -> pollable;
            }
        }
    }
    package wasi:cli@0.2.6 {
        interface stdin { use wasi:io/streams@0.2.6.{input-stream}; get-stdin: func() -> input-stream; }
        interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
        interface stderr { use wasi:io/streams@0.2.6.{output-stream}; get-stderr: func() -> output-stream; }
        interface exit { exit: func(status: result); }
    }
    package wasi:clocks@0.2.6 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.6.{pollable};
            now: func() -> u64;
            subscribe-duration: func(when: u64) -> pollable;
        }
    }
    package wasi:random@0.2.6 {
        interface random { get-random-bytes: func(len: u64) -> list<u8>; }
    }
    package wasi:filesystem@0.2.6 {
        interface types {
            enum error-code { access, would-block, not-permitted }
            resource descriptor { sync: func() -> result<_, error-code>; }
        }
        interface preopens {
            use types.{descriptor};
            get-directories: func() -> list<tuple<descriptor, string>>;
        }
    }
    package wasi:sockets@0.2.6 {
        interface network { enum error-code { unknown, access-denied } resource network; }
        interface instance-network { use network.{network}; instance-network: func() -> network; }
        interface tcp {
            use network.{network, error-code};
            use wasi:io/poll@0.2.6.{pollable};
            resource tcp-socket {
                start-bind: func(network: borrow<network>) -> result<_, error-code>;
                is-listening: func() -> bool;
                subscribe: func() -> pollable;
            }
        }
        interface tcp-create-socket {
            use network.{error-code};
            use tcp.{tcp-socket};
            create-tcp-socket: func() -> result<tcp-socket, error-code>;
        }
    }
"#;

/// Builds a component from a core module, for a world with these items.
fn component(world: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve
        .push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
        .unwrap();
    let text = format!("package test:plugin; world plugin {{ {world} }}\n{WASI}");
    let package = resolve.push_str("test.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// Returns the core module of a plugin whose request headers callback has this body. `$say` logs the bytes at an address;
/// `$digit` logs a number below ten.
fn core(imports: &str, body: &str) -> String {
    format!(
        r#"(module
            (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $plugin (param i32) (result i32)))
            (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $filter (param i32) (result i32)))
            {imports}
            (memory (export "memory") 1)
            (global $http (mut i32) (i32.const 0))
            (global $next (mut i32) (i32.const 0x4000))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -8)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
            (func $say (param i32 i32) (call $log (i32.const 2) (local.get 0) (local.get 1)))
            (func $digit (param i32)
                (i32.store8 (i32.const 0x3ff0) (i32.add (i32.const 0x30) (local.get 0)))
                (call $say (i32.const 0x3ff0) (i32.const 1)))
            (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
                ;; `no` is refused, with itself for a reason.
                (if (i32.eq (local.get 1) (i32.const 2))
                    (then
                        (i32.store8 (i32.const 0x3f00) (i32.const 1))
                        (i32.store (i32.const 0x3f04) (local.get 0))
                        (i32.store (i32.const 0x3f08) (local.get 1)))
                    (else
                        (i32.store8 (i32.const 0x3f00) (i32.const 0))
                        (i32.store (i32.const 0x3f04) (call $plugin (i32.const 1)))))
                (i32.const 0x3f00))
            (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param $plugin i32) (param $stream i32) (result i32)
                (global.set $http (local.get $stream))
                (call $filter (i32.const 1)))
            (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param $self i32) (param $end i32) (result i32)
                {body}
                (i32.const 0)))"#
    )
}

const WORLD: &str =
    "include tidegate:proxy/http-plugin@0.1.0; export tidegate:proxy/on-request-headers@0.1.0;";

fn plugin(imports_of_world: &str, imports: &str, body: &str) -> PluginSpec {
    PluginSpec::new(
        "plugin",
        component(&format!("{WORLD} {imports_of_world}"), &core(imports, body)),
    )
}

struct Fixture {
    chain: WorkerChain,
    lines: Arc<LogCapture>,
}

fn start(spec: PluginSpec) -> Result<Fixture, StartError> {
    let lines = Arc::new(LogCapture::default());
    let config = ChainConfig::new(Arc::new(ManualClock::new(7)), lines.clone());
    let runtime = Runtime::new(config.into()).unwrap();
    let chain = runtime
        .load(&[spec])
        .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
    Ok(Fixture {
        chain: chain.start_worker(0)?,
        lines,
    })
}

fn load(spec: PluginSpec) -> Result<(), LoadError> {
    Runtime::new(RuntimeConfig::new(Arc::new(LogCapture::default())))
        .unwrap()
        .load(&[spec])
        .map(|_| ())
}

impl Fixture {
    fn request(&self) -> (Vec<Effect>, Vec<String>) {
        let mut stream = self.chain.open(Rc::new(|| ()));
        let fields = fields(&[(":path", "/"), (":method", "GET")]);
        stream.request_headers(fields, true);
        let effects = std::iter::from_fn(|| stream.next_effect()).collect();
        stream.finish();
        (effects, self.lines.take())
    }
}

/// Starts a plugin and sends one request.
fn request(spec: PluginSpec) -> (Vec<Effect>, Vec<String>) {
    start(spec).unwrap().request()
}

fn passes(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::RequestHeaders { end: true, .. }])
}

fn fails(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::ResponseHeaders { fields, end: true }] if fields.status().unwrap() == 503)
}

// === Loading and configuring ===

#[test]
fn plugin_is_configured_and_called() {
    let fixture = start(plugin("", "", r#"(call $digit (local.get $end))"#)).unwrap();
    for _ in 0..3 {
        let (effects, lines) = fixture.request();
        assert!(passes(&effects));
        assert_eq!(lines, ["info 1"]);
    }
}

#[test]
fn vm_configuration_is_readable() {
    let imports =
        r#"(import "tidegate:proxy/vm-configuration@0.1.0" "get" (func $get (param i32)))"#;
    let body = r#"
        (call $get (i32.const 64))
        (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))"#;
    let spec = PluginSpec {
        vm_configuration: b"shared".to_vec(),
        ..plugin("", imports, body)
    };
    let (_, lines) = request(spec);
    assert_eq!(lines, ["info shared"]);
}

#[test]
fn plugin_that_is_not_pending_cannot_become_done() {
    let imports =
        r#"(import "tidegate:proxy/plugin-lifecycle@0.1.0" "done" (func $done (param i32)))"#;
    let body = r#"
        (call $done (i32.const 64))
        (call $digit (i32.load8_u (i32.const 64)))
        (call $digit (i32.load8_u (i32.const 65)))"#;
    let (_, lines) = request(plugin("", imports, body));
    // An error with its second case, `not-available`.
    assert_eq!(lines, ["info 1", "info 1"]);
}

#[test]
fn rejected_configuration_reports_the_reason() {
    let spec = PluginSpec {
        configuration: b"no".to_vec(),
        ..plugin("", "", "")
    };
    let error = start(spec).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `plugin` rejects its configuration: no"
    );
}

#[test]
fn component_of_another_world_is_rejected() {
    let bytes = wat::parse_str("(component)").unwrap();
    let error = load(PluginSpec::new("other", bytes)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `other` does not export `tidegate:proxy/plugin@0.1.0`; build it for tidegate:proxy/http-plugin@0.1.0"
    );
}

#[test]
fn callback_with_wrong_type_is_rejected_and_named() {
    let core = r#"(module
        (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32) unreachable)
        (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32 i32) (result i32) unreachable)
        (func (export "tidegate:proxy/on-log@0.1.0#handle") (param i32 i32) unreachable))"#;
    let mut resolve = Resolve::default();
    // The same names, with one more parameter.
    let text = r#"package tidegate:proxy@0.1.0;
        interface http-streams { resource http-stream; }
        interface plugin {
            resource plugin-context { configure: static func(configuration: list<u8>) -> result<plugin-context, string>; }
        }
        interface http-filter {
            use plugin.{plugin-context};
            use http-streams.{http-stream};
            resource filter { constructor(plugin: borrow<plugin-context>, http: own<http-stream>); }
        }
        interface on-log { use http-filter.{filter}; handle: func(filter: borrow<filter>, more: u32); }
        world all { export plugin; export http-filter; export on-log; }"#;
    let package = resolve.push_str("test.wit", text).unwrap();
    let world = resolve.select_world(&[package], Some("all")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    let error = load(PluginSpec::new("wrong", bytes)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`tidegate:proxy/on-log@0.1.0#handle`"),
        "{error}"
    );
    assert!(
        error.to_string().contains("expected func(borrow<filter>)"),
        "{error}"
    );
}

#[test]
fn unknown_import_is_rejected_and_named() {
    let world = format!("{WORLD} import tea: interface {{ brew: func(); }}");
    let bytes = component(&world, &core(r#"(import "tea" "brew" (func))"#, ""));
    let error = load(PluginSpec::new("plugin", bytes)).unwrap_err();
    let source = format!("{:?}", std::error::Error::source(&error).unwrap());
    assert!(
        matches!(error, LoadError::Import { .. }) && source.contains("tea"),
        "{error}: {source}"
    );
}

#[test]
fn requested_engine_must_match_the_component() {
    let spec = PluginSpec {
        engine: Some(EngineKind::ProxyWasm),
        ..plugin("", "", "")
    };
    let error = load(spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `plugin` requires the `component` engine, but the `proxy-wasm` engine was requested; adapt the component first"
    );
}

// === WASI ===

#[test]
fn wasi_neither_blocks_nor_panics_inside_tokio() {
    let world = "import wasi:cli/stdout@0.2.6; import wasi:cli/stderr@0.2.6; import wasi:cli/stdin@0.2.6;
        import wasi:io/poll@0.2.6; import wasi:io/streams@0.2.6; import wasi:clocks/monotonic-clock@0.2.6;";
    let imports = r#"
        (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
        (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
        (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $subscribe (param i32) (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.6" "[method]pollable.ready" (func $ready (param i32) (result i32)))
        (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
        (data (i32.const 0) "one\0atwo\0a")"#;
    let body = r#"(local $pollable i32)
        (call $write (call $stdout) (i32.const 0) (i32.const 6) (i32.const 64))
        (call $write (call $stderr) (i32.const 4) (i32.const 4) (i32.const 64))
        (call $write (call $stdout) (i32.const 6) (i32.const 2) (i32.const 64))
        (call $block (call $subscribe (call $stdout)))
        ;; A year.
        (local.set $pollable (call $sleep (i64.const 31536000000000000)))
        (call $digit (call $ready (local.get $pollable)))
        (call $block (local.get $pollable))
        (i32.store (i32.const 128) (local.get $pollable))
        (call $poll (i32.const 128) (i32.const 1) (i32.const 136))
        (call $digit (i32.load (i32.const 140)))
        ;; Standard input is at its end: an error, of its second case.
        (call $read (call $stdin) (i64.const 100) (i32.const 64))
        (call $digit (i32.load8_u (i32.const 64)))
        (call $digit (i32.load8_u (i32.const 68)))
        (call $digit (i32.wrap_i64 (call $now)))"#;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let fixture = start(plugin(world, imports, body)).unwrap();
        let (effects, lines) = fixture.request();
        assert_eq!(
            lines,
            [
                "info one",
                "error two",
                "info two",
                "info 1",
                "info 1",
                "info 1",
                "info 1",
                "info 7"
            ]
        );
        assert!(passes(&effects));
    });
}

#[test]
fn filesystem_is_empty_and_sockets_are_denied() {
    let world =
        "import wasi:filesystem/preopens@0.2.6; import wasi:sockets/tcp-create-socket@0.2.6;
        import wasi:sockets/tcp@0.2.6; import wasi:sockets/instance-network@0.2.6;";
    let imports = r#"
        (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
        (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $socket (param i32)))
        (import "wasi:sockets/instance-network@0.2.6" "instance-network" (func $network (result i32)))"#;
    let body = r#"
        (call $directories (i32.const 64))
        (call $digit (i32.load (i32.const 68)))
        (call $socket (i32.const 64))
        (call $digit (i32.load8_u (i32.const 64)))
        (call $digit (i32.load8_u (i32.const 68)))
        (call $digit (i32.ne (i32.const 0) (call $network)))"#;
    let (effects, lines) = request(plugin(world, imports, body));
    // No directories; an error, `access-denied`; a network that permits nothing.
    assert_eq!(lines, ["info 0", "info 1", "info 1", "info 1"]);
    assert!(passes(&effects));
}

#[test]
fn oversized_random_request_traps() {
    let imports =
        r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))"#;
    let body = "(call $random (i64.const 0x7fffffffffff) (i32.const 64))";
    let (effects, _) = request(plugin("import wasi:random/random@0.2.6;", imports, body));
    assert!(fails(&effects));
}

#[test]
fn exit_fails_the_instance_and_flushes_the_partial_line() {
    let world =
        "import wasi:cli/stderr@0.2.6; import wasi:io/streams@0.2.6; import wasi:cli/exit@0.2.6;";
    let imports = r#"
        (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
        (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
        (data (i32.const 0) "bye")"#;
    let body = r#"
        (call $write (call $stderr) (i32.const 0) (i32.const 3) (i32.const 64))
        (call $exit (i32.const 1))"#;
    let (effects, lines) = request(plugin(world, imports, body));
    assert!(fails(&effects));
    assert_eq!(lines[0], "error bye");
    assert!(
        lines[1].starts_with("critical `on-request-headers` failed: "),
        "{lines:?}"
    );
}

#[test]
fn partial_line_of_a_plugin_that_is_not_done_is_logged_at_the_end() {
    let world = "export tidegate:proxy/on-plugin-done@0.1.0;
        import wasi:cli/stdout@0.2.6; import wasi:io/streams@0.2.6;";
    let imports = r#"
        (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
        (data (i32.const 0) "bye")
        (func (export "tidegate:proxy/on-plugin-done@0.1.0#handle") (param $self i32) (result i32)
            (call $write (call $stdout) (i32.const 0) (i32.const 3) (i32.const 64))
            ;; It is pending.
            (i32.const 1))"#;
    let lines = Arc::new(LogCapture::default());
    let clock = Arc::new(ManualClock::new(0));
    let config = ChainConfig::new(clock.clone(), lines.clone());
    let port = Rc::new(ManualPort::default());
    let chain = Runtime::new(config.into())
        .unwrap()
        .load(&[plugin(world, imports, "")])
        .unwrap()
        .start_worker_with(0, port.clone())
        .unwrap();
    drop(chain);
    assert_eq!(lines.take(), [""; 0]);
    clock.advance(Duration::from_secs(60));
    port.run_until(clock.now());
    assert_eq!(
        lines.take(),
        ["info bye", "warn stopped: it was not done within 60 s"]
    );
}

// === Hostile guests ===

#[test]
fn trap_is_contained_and_next_request_succeeds() {
    let body = r#"(if (i32.eqz (i32.load (i32.const 0))) (then (i32.store (i32.const 0) (i32.const 1)) (return (i32.const 0))))
        unreachable"#;
    let spec = PluginSpec {
        restart_interval: Duration::ZERO,
        ..plugin("", "", body)
    };
    let fixture = start(spec).unwrap();
    for round in 0..3 {
        assert!(passes(&fixture.request().0), "{round}");
        let (effects, lines) = fixture.request();
        assert!(fails(&effects), "{round}");
        assert!(
            lines[0]
                .starts_with("critical `on-request-headers` failed: wasm trap: wasm `unreachable`"),
            "{lines:?}"
        );
    }
}

#[test]
fn trapped_plugin_follows_its_failure_policy() {
    for (policy, expected) in [(FailurePolicy::Closed, false), (FailurePolicy::Open, true)] {
        let fixture = start(PluginSpec {
            failure_policy: policy,
            ..plugin("", "", "unreachable")
        })
        .unwrap();
        // The stream on which it trapped fails with either policy.
        assert!(fails(&fixture.request().0), "{policy:?}");
        assert_eq!(passes(&fixture.request().0), expected, "{policy:?}");
    }
}

#[test]
fn invalid_action_traps() {
    let core = core("", "(return (i32.const 2))");
    let (effects, _) = request(PluginSpec::new("plugin", component(WORLD, &core)));
    assert!(fails(&effects));
}

#[test]
fn invalid_handle_traps() {
    let imports =
        r#"(import "tidegate:proxy/stream-control@0.1.0" "reset" (func $reset (param i32 i32)))"#;
    for handle in ["0", "99", "-1"] {
        let body = format!("(call $reset (i32.const {handle}) (i32.const 64))");
        let (effects, _) = request(plugin("", imports, &body));
        assert!(fails(&effects), "{handle}");
    }
}

#[test]
fn handle_of_ended_stream_reports_closed() {
    // The handle of the first stream is kept, and reset in the callback of the second.
    let imports = r#"
        (import "tidegate:proxy/stream-control@0.1.0" "reset" (func $reset (param i32 i32)))
        (global $kept (mut i32) (i32.const 0))"#;
    let body = r#"
        (if (i32.eqz (global.get $kept)) (then (global.set $kept (global.get $http)) (return (i32.const 0))))
        (call $reset (global.get $kept) (i32.const 64))
        (call $digit (i32.load8_u (i32.const 64)))
        (call $digit (i32.load8_u (i32.const 65)))"#;
    let fixture = start(plugin("", imports, body)).unwrap();
    assert!(passes(&fixture.request().0));
    let (effects, lines) = fixture.request();
    assert!(passes(&effects));
    // An error with its first case, `closed`.
    assert_eq!(lines, ["info 1", "info 0"]);
}

#[test]
fn out_of_bounds_or_non_utf8_strings_trap() {
    for (at, size) in [("0xfff0", "0x100"), ("-1", "-1"), ("0", "0x7fffffff")] {
        let body = format!("(call $log (i32.const 2) (i32.const {at}) (i32.const {size}))");
        assert!(fails(&request(plugin("", "", &body)).0), "{at} {size}");
    }
    let body =
        "(i32.store8 (i32.const 0) (i32.const 0xff)) (call $say (i32.const 0) (i32.const 1))";
    assert!(fails(&request(plugin("", "", body)).0), "no UTF-8");
}

#[test]
fn infinite_loop_and_recursion_are_terminated() {
    let limits = Limits {
        callback: Duration::from_millis(20),
        ..Limits::default()
    };
    let spec = PluginSpec {
        limits,
        ..plugin("", "", "(loop $forever (br $forever))")
    };
    let (effects, lines) = request(spec);
    assert!(fails(&effects));
    assert!(
        lines[0].contains("longer than its limit of 20ms"),
        "{lines:?}"
    );
    let (effects, _) = request(plugin("", "(func $down (call $down))", "(call $down)"));
    assert!(fails(&effects));
}

#[test]
fn memory_is_capped() {
    let limits = Limits {
        memory: 2 << 16,
        ..Limits::default()
    };
    let body = r#"(call $digit (i32.eq (i32.const -1) (memory.grow (i32.const 5))))"#;
    let (_, lines) = request(PluginSpec {
        limits,
        ..plugin("", "", body)
    });
    assert_eq!(lines, ["info 1"]);
}
