//! Events that an observer receives for real plugins: a chain of two, in both engines, built from the same text.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tidegate_host::observe::{Action, BodySize, Call, Event, FieldMap, Occasion, Origin, Phase};
use tidegate_host::{
    Fields, Level, LogLine, LogSink, Name, Observer, PluginSpec, Runtime, RuntimeConfig, Stream,
    WorkerChain,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The callbacks of a plugin, in terms of functions that the modules of both engines define: `$mark` sets `x-mark` in the
/// request headers, `$say` logs, `$answer` responds with 403, and `$grow` appends two bytes to the request body.
struct Callbacks {
    request_headers: &'static str,
    request_body: &'static str,
}

const FIRST: Callbacks = Callbacks {
    request_headers: "(call $mark) (call $say) (i32.const 0)",
    request_body: "(call $grow) (i32.const 0)",
};

/// Traps at the end of a request that has a body, and responds to one that has none.
const SECOND: Callbacks = Callbacks {
    request_headers: "(if (local.get $end) (then (call $answer))) (i32.const 0)",
    request_body: "(call $say) (if (local.get $end) (then (unreachable))) (i32.const 1)",
};

const DATA: &str = r#"(data (i32.const 16) "x-markherehellorefused!!")"#;

fn proxy_wasm(plugin: &Callbacks) -> Vec<u8> {
    let Callbacks {
        request_headers,
        request_body,
    } = plugin;
    wat::parse_str(format!(
        r#"(module
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_set_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_send_local_response" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          {DATA}
          (func $say (drop (call $log (i32.const 2) (i32.const 26) (i32.const 5))))
          (func $mark (drop (call $set (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 22) (i32.const 4))))
          (func $answer (drop (call $send (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 31) (i32.const 7)
            (i32.const 0) (i32.const 0) (i32.const -1))))
          (func $grow (drop (call $buffer (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 38) (i32.const 2))))
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
          (func (export "proxy_on_context_create") (param i32 i32))
          (func (export "proxy_on_request_headers") (param i32 i32) (param $end i32) (result i32) {request_headers})
          (func (export "proxy_on_request_body") (param i32 i32) (param $end i32) (result i32) {request_body}))"#
    ))
    .expect("a module")
}

fn component(plugin: &Callbacks) -> Vec<u8> {
    let Callbacks {
        request_headers,
        request_body,
    } = plugin;
    let core = format!(
        r#"(module
          (import "tidegate:proxy/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
          (import "tidegate:proxy/http-fields@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i32 i32)))
          (import "tidegate:proxy/http-bodies@0.1.0" "append" (func $append (param i32 i32 i32 i32 i32)))
          (import "tidegate:proxy/local-responses@0.1.0" "send"
            (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
          (import "[export]tidegate:proxy/plugin@0.1.0" "[resource-new]plugin-context" (func $plugin (param i32) (result i32)))
          (import "[export]tidegate:proxy/http-filter@0.1.0" "[resource-new]filter" (func $filter (param i32) (result i32)))
          (memory (export "memory") 1)
          {DATA}
          (global $http (mut i32) (i32.const 0))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
          (func $say (call $log (i32.const 2) (i32.const 26) (i32.const 5)))
          (func $mark (call $set (global.get $http) (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 22) (i32.const 4)
            (i32.const 1024)))
          (func $answer (call $send (global.get $http) (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 31) (i32.const 7)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024)))
          (func $grow (call $append (global.get $http) (i32.const 0) (i32.const 38) (i32.const 2) (i32.const 1024)))
          (func (export "tidegate:proxy/plugin@0.1.0#[static]plugin-context.configure") (param i32 i32) (result i32)
            (i32.store8 (i32.const 2048) (i32.const 0))
            (i32.store (i32.const 2052) (call $plugin (i32.const 1)))
            (i32.const 2048))
          (func (export "tidegate:proxy/http-filter@0.1.0#[constructor]filter") (param i32) (param $stream i32) (result i32)
            (global.set $http (local.get $stream))
            (call $filter (i32.const 1)))
          (func (export "tidegate:proxy/on-request-headers@0.1.0#handle") (param i32) (param $end i32) (result i32)
            {request_headers})
          (func (export "tidegate:proxy/on-request-body@0.1.0#handle") (param i32 i32) (param $end i32) (result i32)
            {request_body}))"#
    );
    let mut resolve = Resolve::default();
    resolve
        .push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
        .expect("the contract");
    let world = "package test:plugin; world plugin {
        include tidegate:proxy/http-plugin@0.1.0;
        export tidegate:proxy/on-request-headers@0.1.0;
        export tidegate:proxy/on-request-body@0.1.0; }";
    let package = resolve.push_str("test.wit", world).expect("a package");
    let world = resolve.select_world(&[package], None).expect("a world");
    let mut module = wat::parse_str(core).expect("a module");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a module with its world");
    ComponentEncoder::default()
        .module(&module)
        .and_then(|it| it.validate(true).encode())
        .expect("a component")
}

struct NoLogs;

impl LogSink for NoLogs {
    fn line(&self, _: &LogLine<'_>) {}
}

struct Seer {
    fuel: bool,
    events: Mutex<Vec<Event>>,
}

impl Observer for Seer {
    fn event(&self, _: u64, event: Event) {
        self.events.lock().expect("events").push(event);
    }

    fn wants_fuel(&self) -> bool {
        self.fuel
    }
}

impl Seer {
    /// Returns the calls and the local responses since this method was last called.
    fn take(&self) -> (Vec<Call>, Vec<(Origin, u16, usize)>) {
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for event in std::mem::take(&mut *self.events.lock().expect("events")) {
            match event {
                Event::Called(call) => calls.push(*call),
                Event::LocalResponse {
                    origin,
                    fields,
                    body,
                } => {
                    let status = fields.status().expect("a status").as_u16();
                    answers.push((origin, status, body));
                }
                _ => {}
            }
        }
        (calls, answers)
    }
}

fn chain(make: fn(&Callbacks) -> Vec<u8>, fuel: bool) -> (WorkerChain, Arc<Seer>) {
    let seer = Arc::new(Seer {
        fuel,
        events: Mutex::default(),
    });
    let mut config = RuntimeConfig::new(Arc::new(NoLogs));
    config.chain.observer = Some(seer.clone());
    let plugins = [("first", &FIRST), ("second", &SECOND)];
    let plugins = plugins.map(|(name, callbacks)| PluginSpec::new(name, make(callbacks)));
    let chain = Runtime::new(config)
        .and_then(|it| it.load(&plugins))
        .expect("a chain");
    (chain.start_worker(0).expect("a worker"), seer)
}

fn request() -> Fields {
    let list = [
        (":authority", "a"),
        (":path", "/"),
        (":method", "POST"),
        (":scheme", "http"),
    ];
    let field = |(name, value): (&'static str, &'static str)| {
        let name = Name::parse(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_static(value))
    };
    list.into_iter().map(field).collect()
}

fn open(chain: &WorkerChain) -> Stream {
    chain.open(Rc::new(|| ()))
}

fn two_plugins(make: fn(&Callbacks) -> Vec<u8>, fuel: bool) {
    let (chain, seer) = chain(make, fuel);

    // Without a body, the second plugin responds.
    let mut stream = open(&chain);
    stream.request_headers(request(), true);
    while stream.next_effect().is_some() {}
    stream.finish();
    let (calls, answers) = seer.take();
    assert_eq!(answers, [(Origin::Plugin(1), 403, 7)]);
    let [first, second] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!((first.plugin.as_str(), first.position), ("first", 0));
    assert_eq!((second.plugin.as_str(), second.position), ("second", 1));
    for call in [first, second] {
        assert_eq!(call.occasion, Occasion::Callback(Phase::RequestHeaders));
        assert!(call.end);
        assert_eq!(call.outcome, Ok(Action::Continue));
        assert_eq!(call.body, None);
        assert!(call.time > Duration::ZERO);
        assert_eq!(
            call.fuel.is_some_and(|fuel| (1..100_000).contains(&fuel)),
            fuel,
            "{:?}",
            call.fuel
        );
    }
    let [seen] = first.fields.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!(seen.map, FieldMap::RequestHeaders);
    assert_eq!(seen.before, request());
    assert_eq!(seen.after.len(), 5);
    assert_eq!(seen.after.get("x-mark").expect("a mark"), "here");
    assert_eq!(first.lines.kept, [(Level::Info, "hello".to_owned())]);
    assert_eq!(second.fields[0].before, seen.after);
    assert_eq!(second.fields[0].after, seen.after);
    assert!(second.lines.kept.is_empty());

    // With a body, it pauses, and traps at the end of the body.
    let mut stream = open(&chain);
    stream.request_headers(request(), false);
    stream.request_body(Bytes::from_static(b"abc"), false);
    stream.request_body(Bytes::from_static(b"de"), true);
    while stream.next_effect().is_some() {}
    stream.finish();
    let (calls, answers) = seer.take();
    assert_eq!(answers, [(Origin::Failed(1), 503, 0)]);
    let bodies: Vec<_> = calls
        .iter()
        .filter(|call| call.occasion == Occasion::Callback(Phase::RequestBody))
        .map(|call| {
            (
                call.position,
                call.body,
                call.end,
                call.outcome.clone().ok(),
            )
        })
        .collect();
    let size = |seen, left| Some(BodySize { seen, left });
    assert_eq!(
        bodies,
        [
            (0, size(3, 5), false, Some(Action::Continue)),
            (1, size(5, 5), false, Some(Action::Pause)),
            (0, size(2, 4), true, Some(Action::Continue)),
            (1, size(9, 9), true, None),
        ]
    );
    let died = calls.iter().find(|call| call.outcome.is_err());
    let died = died.expect("a trap");
    let trap = died.outcome.clone().expect_err("a trap");
    assert!(trap.contains("unreachable"), "{trap}");
    assert_eq!(
        died.lines.kept,
        [
            (Level::Info, "hello".to_owned()),
            (Level::Critical, trap.clone())
        ]
    );
    assert_eq!(died.fuel.is_some(), fuel);
}

#[test]
fn observer_sees_two_components() {
    two_plugins(component, true);
    two_plugins(component, false);
}

#[test]
fn observer_sees_two_proxy_wasm_modules() {
    two_plugins(proxy_wasm, true);
    two_plugins(proxy_wasm, false);
}

/// The fuel of a callback measures its work. It depends neither on the machine nor on the stream.
#[test]
fn fuel_consumption_is_deterministic() {
    for make in [component, proxy_wasm] {
        let (chain, seer) = chain(make, true);
        let mut fuel = Vec::new();
        for _ in 0..3 {
            let mut stream = open(&chain);
            stream.request_headers(request(), true);
            stream.finish();
            fuel.push(seer.take().0.iter().map(|it| it.fuel).collect::<Vec<_>>());
        }
        assert_eq!(fuel[1], fuel[2]);
    }
}

/// Counting fuel does not replace the deadline: a guest that never returns is still interrupted in time.
#[test]
fn callback_deadline_applies_when_fuel_is_counted() {
    let endless = Callbacks {
        request_headers: "(loop $for_ever (br $for_ever)) (i32.const 0)",
        request_body: "(i32.const 0)",
    };
    for make in [component, proxy_wasm] {
        let seer = Arc::new(Seer {
            fuel: true,
            events: Mutex::default(),
        });
        let mut config = RuntimeConfig::new(Arc::new(NoLogs));
        config.chain.observer = Some(seer.clone());
        let mut plugin = PluginSpec::new("endless", make(&endless));
        plugin.limits.callback = Duration::from_millis(30);
        let chain = Runtime::new(config)
            .and_then(|it| it.load(&[plugin]))
            .expect("a chain")
            .start_worker(0)
            .expect("a worker");
        let mut stream = open(&chain);
        stream.request_headers(request(), true);
        let (calls, answers) = seer.take();
        assert_eq!(answers, [(Origin::Failed(0), 503, 0)]);
        let trap = calls[0].outcome.clone().expect_err("a trap");
        assert!(trap.contains("longer than its limit of 30ms"), "{trap}");
        assert!(calls[0].time >= Duration::from_millis(30), "{calls:?}");
    }
}
