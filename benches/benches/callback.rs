//! One callback with one header append, from the host's state machine and back, on a real map of twelve headers.
//!
//! `callback/*` goes through [`Stream`], with the engine's epoch checks on and the value copied out of the plugin; `none` is the state machine
//! with no plugin. `wasmtime/*` beside it is wasmtime alone, used as its documentation shows, doing the same append: what the
//! engines are made of.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tidegate_benches::{messages, modules};
use tidegate_host::{
    EngineKind, Fields, LogLine, LogSink, PluginSpec, Runtime, RuntimeConfig, Stream, WorkerChain,
};
use tidegate_testkit::guests::{self, Shape};

mod peer;

/// Few enough to stay in the cache as a real proxy's streams do, enough for the clock not to matter.
const BATCH: BatchSize = BatchSize::NumIterations(32);

/// A sink that fails the bench: no plugin here logs, unless something is wrong.
struct Unexpected;

impl LogSink for Unexpected {
    fn line(&self, line: &LogLine<'_>) {
        panic!("{} logged: {}", line.plugin, line.message);
    }
}

fn worker(plugin: Option<(EngineKind, Vec<u8>)>) -> WorkerChain {
    let runtime = Runtime::new(RuntimeConfig::new(Arc::new(Unexpected))).expect("a runtime");
    let specs: Vec<PluginSpec> = plugin
        .into_iter()
        .map(|(engine, module)| {
            let mut spec = PluginSpec::new("append", module);
            spec.engine = Some(engine);
            spec
        })
        .collect();
    runtime
        .load(&specs)
        .expect("the plugin loads")
        .start_worker(0)
        .expect("the plugin starts")
}

/// A stream whose request has gone through, so that filters exist.
fn open(chain: &WorkerChain, request: &Fields) -> Stream {
    let mut stream = chain.open(Rc::new(|| ()));
    stream.request_headers(request.clone(), true);
    while stream.next_effect().is_some() {}
    stream
}

/// What is measured, once, looked at: the header has to be there.
fn check(chain: &WorkerChain, appended: bool) {
    let mut stream = open(chain, &messages::request());
    stream.response_headers(messages::response(), true);
    match stream.next_effect() {
        Some(tidegate_host::Effect::ResponseHeaders { fields, .. }) => {
            assert_eq!(has_appended(&fields), appended);
            assert_eq!(
                fields.len(),
                13 + usize::from(appended),
                "a status and twelve headers"
            );
        }
        _ => panic!("the response's headers should come through"),
    }
}

fn has_appended(fields: &Fields) -> bool {
    fields
        .get("x-appended")
        .is_some_and(|value| value == "by the bench")
}

fn callback(criterion: &mut Criterion) {
    let append = guests::build("bench-append", Shape::Bare).expect("the component is built");
    let wasip2 = guests::build("bench-append", Shape::Wasip2).expect("the component is built");
    let sdk = guests::build_module("proxy-wasm-append").expect("the module is built");
    let by_hand = modules::append_by_hand().expect("the text is well-formed");
    // Cloned for each stream, since making them anew would leave less in the caches than a proxy's own work does.
    let (request, response) = (messages::request(), messages::response());
    let mut group = criterion.benchmark_group("callback");
    for (name, plugin) in [
        ("none", None),
        (
            "proxy-wasm/adapted",
            Some((EngineKind::ProxyWasm, append.module.to_vec())),
        ),
        (
            "proxy-wasm/adapted-wasip2",
            Some((EngineKind::ProxyWasm, wasip2.module.to_vec())),
        ),
        (
            "proxy-wasm/by-hand",
            Some((EngineKind::ProxyWasm, by_hand.clone())),
        ),
        (
            "proxy-wasm/rust-sdk",
            Some((EngineKind::ProxyWasm, sdk.to_vec())),
        ),
        (
            "component/bare",
            Some((EngineKind::Component, append.component.to_vec())),
        ),
        (
            "component/wasip2",
            Some((EngineKind::Component, wasip2.component.to_vec())),
        ),
    ] {
        let appended = plugin.is_some();
        let chain = worker(plugin);
        check(&chain, appended);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (open(&chain, &request), response.clone()),
                |(mut stream, fields)| {
                    stream.response_headers(fields, true);
                    stream
                },
                BATCH,
            );
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("wasmtime");
    let mut module = peer::Module::new(&by_hand).expect("the module is instantiated");
    assert!(has_appended(
        &module
            .call(messages::response())
            .expect("the call succeeds")
    ));
    group.bench_function("core-module", |bencher| {
        bencher.iter_batched(
            || response.clone(),
            |fields| black_box(module.call(fields)),
            BATCH,
        );
    });
    for (name, concurrency) in [
        ("component-defaults", true),
        ("component-no-concurrency", false),
    ] {
        let mut component = peer::Component::new(&append.component, concurrency)
            .expect("the component is instantiated");
        assert!(has_appended(
            &component
                .call(messages::response())
                .expect("the call succeeds")
        ));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || response.clone(),
                |fields| black_box(component.call(fields)),
                BATCH,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, callback);
criterion_main!(benches);
