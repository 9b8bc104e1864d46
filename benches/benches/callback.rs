//! One callback that appends one header, including the host's state machine, with a map of twelve headers.
//!
//! `callback/*` uses [`Stream`], with the engine's epoch checks enabled and the value copied from the plugin; `none` is the state machine
//! without a plugin. `hostcalls/*` is the plugin `headers` without a task and with ten headers to append: a tenth of the difference is
//! the cost of a hostcall. `metrics/*` is a plugin that increments a counter zero or a hundred times, as a component and handwritten.
//! `wasmtime/*` is wasmtime alone, used as documented, with the same callback: the lower bound for the engines.
//!
//! At the end, the ratios that have a target are printed, and how long the plugin `rate-limit` takes with a million clients. With a filter
//! that matches nothing, only these are measured: `cargo bench -p tidegate-benches --bench callback -- NONE`.

use std::hint::black_box;
use std::mem;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Version};
use tidegate_benches::paired::{Operation, Rounds};
use tidegate_benches::{messages, modules};
use tidegate_components::guests::{self, Shape};
use tidegate_host::{
    EngineKind, Fields, LogLine, LogSink, Name, PluginSpec, Runtime, RuntimeConfig, Stream,
    WorkerChain,
};
use tidegate_semantics::attributes::Connection;

mod clients;
mod peer;

/// Small enough to fit in the L1 cache, like a proxy's current stream, and large enough to make the resolution of the clock irrelevant.
const BATCH: BatchSize = BatchSize::NumIterations(8);

/// A sink that fails the bench. Plugins log only if something is wrong.
struct Unexpected;

impl LogSink for Unexpected {
    fn line(&self, line: &LogLine<'_>) {
        panic!("{} logged: {}", line.plugin, line.message);
    }
}

fn worker(plugin: Option<(EngineKind, Vec<u8>)>, configuration: &str) -> WorkerChain {
    let runtime = Runtime::new(RuntimeConfig::new(Arc::new(Unexpected)))
        .expect("failed to create the runtime");
    let specs: Vec<PluginSpec> = plugin
        .into_iter()
        .map(|(engine, module)| {
            let mut spec = PluginSpec::new("append", module);
            spec.engine = Some(engine);
            spec.configuration = configuration.into();
            spec
        })
        .collect();
    runtime
        .load(&specs)
        .expect("plugin should load")
        .start_worker(0)
        .expect("plugin should start")
}

/// A stream whose request has been processed, so that filters exist.
fn open(chain: &WorkerChain, request: &Fields) -> Stream {
    let mut stream = chain.open(Rc::new(|| ()));
    stream.request_headers(messages::copy(request), true);
    while stream.next_effect().is_some() {}
    stream
}

/// Runs the callback once, and checks the number of headers.
fn check(chain: &WorkerChain, appended: usize) {
    let mut stream = open(chain, &messages::request());
    stream.response_headers(messages::response(), true);
    match stream.next_effect() {
        Some(tidegate_host::Effect::ResponseHeaders { fields, .. }) => {
            assert_eq!(has_appended(&fields), appended > 0);
            assert_eq!(fields.len(), 13 + appended, "a status and twelve headers");
        }
        _ => panic!("response headers should be passed on"),
    }
}

fn has_appended(fields: &Fields) -> bool {
    fields
        .get("x-appended")
        .is_some_and(|value| value == "by the bench")
}

fn callback(criterion: &mut Criterion) {
    let append = guests::build("bench-append", Shape::Bare).expect("component should build");
    let wasip2 = guests::build("bench-append", Shape::Wasip2).expect("component should build");
    let sdk = guests::build_module("proxy-wasm-append").expect("module should build");
    let by_hand = modules::append_by_hand().expect("valid text");
    // Copied for each stream, because building them again would evict more from the caches than a proxy does.
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
        let appended = usize::from(plugin.is_some());
        let chain = worker(plugin, "");
        check(&chain, appended);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || (open(&chain, &request), messages::copy(&response)),
                |(stream, fields)| stream.response_headers(mem::take(fields), true),
                BATCH,
            );
        });
    }
    group.finish();

    let headers = guests::build("headers", Shape::Bare).expect("component should build");
    let mut group = criterion.benchmark_group("hostcalls");
    for (engine, module) in [
        (EngineKind::ProxyWasm, &headers.module),
        (EngineKind::Component, &headers.component),
    ] {
        for count in [0, 10] {
            let header = r#"{"append": {"name": "x-appended", "value": "by the bench"}}"#;
            let configuration = format!(
                r#"{{"rules": [{{"response": [{}]}}]}}"#,
                vec![header; count].join(", ")
            );
            let chain = worker(Some((engine, module.to_vec())), &configuration);
            check(&chain, count);
            group.bench_function(format!("{engine}/{count}"), |bencher| {
                bencher.iter_batched_ref(
                    || (open(&chain, &request), messages::copy(&response)),
                    |(stream, fields)| stream.response_headers(mem::take(fields), true),
                    BATCH,
                );
            });
        }
    }
    group.finish();

    let metric = guests::build("bench-metric", Shape::Bare).expect("component should build");
    let mut group = criterion.benchmark_group("metrics");
    for times in [0, 100] {
        let by_hand = modules::metric_by_hand(times).expect("valid text");
        for (name, engine, module) in [
            ("by-hand", EngineKind::ProxyWasm, &by_hand),
            ("adapted", EngineKind::ProxyWasm, &metric.module.to_vec()),
            (
                "component",
                EngineKind::Component,
                &metric.component.to_vec(),
            ),
        ] {
            let chain = worker(Some((engine, module.clone())), &times.to_string());
            check(&chain, 0);
            group.bench_function(format!("{name}/{times}"), |bencher| {
                bencher.iter_batched_ref(
                    || (open(&chain, &request), messages::copy(&response)),
                    |(stream, fields)| stream.response_headers(mem::take(fields), true),
                    BATCH,
                );
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("wasmtime");
    // The cost of a call without a hostcall.
    let mut empty = peer::Module::new(&modules::empty().expect("valid text"))
        .expect("module should be instantiated");
    group.bench_function("core-module-empty", |bencher| {
        bencher.iter_batched_ref(
            || messages::copy(&response),
            |fields| empty.call(fields).expect("call should succeed"),
            BATCH,
        );
    });
    let mut module = peer::Module::new(&by_hand).expect("module should be instantiated");
    let mut fields = messages::response();
    module.call(&mut fields).expect("call should succeed");
    assert!(has_appended(&fields));
    group.bench_function("core-module", |bencher| {
        bencher.iter_batched_ref(
            || messages::copy(&response),
            |fields| module.call(fields).expect("call should succeed"),
            BATCH,
        );
    });
    let defaults = cfg!(feature = "component-model-async").then_some(("component-defaults", true));
    for (name, concurrency) in defaults
        .into_iter()
        .chain([("component-no-concurrency", false)])
    {
        let mut component = peer::Component::new(&append.component, concurrency)
            .expect("component should be instantiated");
        let mut fields = messages::response();
        component.call(&mut fields).expect("call should succeed");
        assert!(has_appended(&fields));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || messages::copy(&response),
                |fields| component.call(fields).expect("call should succeed"),
                BATCH,
            );
        });
    }
    group.finish();
}

/// The number of runs that are timed together, so that the resolution of the clock is irrelevant.
const RUNS: u32 = 8;

/// Measures the response headers of a stream in a worker's chain.
fn through_chain<'a>(
    name: &'static str,
    chain: &'a WorkerChain,
    request: &'a Fields,
    response: &'a Fields,
) -> Operation<'a> {
    let run = move || {
        let open = |_| (open(chain, request), messages::copy(response));
        let mut streams: Vec<_> = (0..RUNS).map(open).collect();
        let begun = Instant::now();
        for (stream, fields) in &mut streams {
            stream.response_headers(black_box(mem::take(fields)), true);
        }
        begun.elapsed() / RUNS
    };
    (name, Box::new(run))
}

/// Measures a single call with wasmtime's component API.
fn through_wasmtime<'a>(
    name: &'static str,
    mut component: peer::Component,
    response: &'a Fields,
) -> Operation<'a> {
    let run = move || {
        let mut copies: Vec<_> = (0..RUNS).map(|_| messages::copy(response)).collect();
        let begun = Instant::now();
        for fields in &mut copies {
            component
                .call(black_box(fields))
                .expect("call should succeed");
        }
        begun.elapsed() / RUNS
    };
    (name, Box::new(run))
}

fn print_ratio(what: &str, ratio: f64, target: f64) {
    let verdict = if ratio <= target { "met" } else { "missed" };
    println!("{what}: {ratio:.2} (target {target}: {verdict})");
}

/// Opens a stream of a client.
fn open_from(chain: &WorkerChain, client: Ipv4Addr) -> Stream {
    let mut stream = chain.open(Rc::new(|| ()));
    stream.set_connection(Connection {
        id: 1,
        source: (client, 43210).into(),
        destination: (Ipv4Addr::LOCALHOST, 8080).into(),
        version: Version::HTTP_11,
    });
    stream
}

/// Returns an operation that measures the cost of a stream's request headers in a worker's chain. This includes the filter's start.
fn request_through_chain<'a>(
    name: &'static str,
    chain: &'a WorkerChain,
    request: &'a Fields,
) -> Operation<'a> {
    let run = move || {
        let open = |_| (open_from(chain, CLIENT), messages::copy(request));
        let mut streams: Vec<_> = (0..RUNS).map(open).collect();
        let begun = Instant::now();
        for (stream, fields) in &mut streams {
            stream.request_headers(black_box(mem::take(fields)), true);
        }
        begun.elapsed() / RUNS
    };
    (name, Box::new(run))
}

/// The client of all requests.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// One rule of the plugin `rate-limit`, by the address of the client, which no request exceeds.
const RATE_LIMIT: &str = r#"{ "rules": [{ "name": "client", "limit": "1000000000/s", "key": [{ "client_address": {} }] }] }"#;

/// The same, with the address from `x-forwarded-for`.
const RATE_LIMIT_FORWARDED: &str = r#"{ "rules": [
    { "name": "client", "limit": "1000000000/s", "key": [{ "client_address": { "trusted_hops": 1 } }] }
] }"#;

/// The limit of a request callback, as a multiple of the tutorial's.
const RATE_LIMIT_TARGET: f64 = 1.3;

/// Returns whether times are measured. Without `--bench`, code is not optimised, and the bench only checks that everything works.
fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Prints the ratios that have a target.
fn ratios(_: &mut Criterion) {
    let is_bench = is_bench();
    let count = if is_bench { 60 } else { 1 };
    let (request, response) = (messages::request(), messages::response());
    let text = "the text is well-formed";
    let [append, wasip2] = [Shape::Bare, Shape::Wasip2]
        .map(|shape| guests::build("bench-append", shape).expect("component should build"));
    let metric = guests::build("bench-metric", Shape::Bare).expect("component should build");
    let sdk = guests::build_module("proxy-wasm-append").expect("module should build");
    let by_hand = modules::append_by_hand().expect(text);
    let proxy_wasm = |module: &[u8], configuration: &str| {
        worker(
            Some((EngineKind::ProxyWasm, module.to_vec())),
            configuration,
        )
    };
    let component =
        |component: &[u8]| worker(Some((EngineKind::Component, component.to_vec())), "");
    let [tutorial, limiter] = ["istio-tutorial", "rate-limit"]
        .map(|name| guests::build(name, Shape::Bare).expect("component should build"));
    let forwarded = (
        Name::Header(HeaderName::from_static("x-forwarded-for")),
        HeaderValue::from_static("198.51.100.9"),
    );
    let mut forwarded_request = messages::copy(&request);
    forwarded_request.append(forwarded.0, forwarded.1);
    let tutorial = proxy_wasm(
        &tutorial.module,
        r#"{ "requests_per_second": 100000000, "log": false }"#,
    );
    let rate_limit = proxy_wasm(&limiter.module, RATE_LIMIT);
    let rate_limit_forwarded = proxy_wasm(&limiter.module, RATE_LIMIT_FORWARDED);
    let time_by_hand = proxy_wasm(&modules::limit_by_hand(false).expect(text), "");
    let limit_by_hand = proxy_wasm(&modules::limit_by_hand(true).expect(text), "");
    let chains = [
        ("by hand", proxy_wasm(&by_hand, "")),
        ("rust-sdk", proxy_wasm(&sdk, "")),
        ("adapted", proxy_wasm(&append.module, "")),
        ("adapted, wasip2", proxy_wasm(&wasip2.module, "")),
        ("component", component(&append.component)),
        ("component, wasip2", component(&wasip2.component)),
        (
            "metric by hand",
            proxy_wasm(&modules::metric_by_hand(0).expect(text), "0"),
        ),
        (
            "metrics by hand",
            proxy_wasm(&modules::metric_by_hand(100).expect(text), "100"),
        ),
        ("metric adapted", proxy_wasm(&metric.module, "0")),
        ("metrics adapted", proxy_wasm(&metric.module, "100")),
    ];
    let mut operations: Vec<Operation<'_>> = chains
        .iter()
        .map(|(name, chain)| through_chain(name, chain, &request, &response))
        .collect();
    let raw =
        peer::Component::new(&append.component, false).expect("component should be instantiated");
    operations.push(through_wasmtime("raw component", raw, &response));
    for (name, chain, request) in [
        ("tutorial", &tutorial, &request),
        ("rate-limit", &rate_limit, &request),
        (
            "rate-limit, forwarded",
            &rate_limit_forwarded,
            &forwarded_request,
        ),
        ("time by hand", &time_by_hand, &request),
        (
            "time, address and counters by hand",
            &limit_by_hand,
            &request,
        ),
    ] {
        operations.push(request_through_chain(name, chain, request));
    }
    let rounds = Rounds::measure(operations, count);
    if !is_bench {
        return;
    }
    let ratio =
        |name: &'static str, base: &'static str| rounds.median(|time| time(name) / time(base));
    println!("medians of {count} rounds, in each of which all are measured in turn:");
    for name in ["adapted", "adapted, wasip2"] {
        print_ratio(
            &format!("callback, {name} / by hand"),
            ratio(name, "by hand"),
            1.53,
        );
        println!(
            "callback, {name} / Rust SDK: {:.2}",
            ratio(name, "rust-sdk")
        );
    }
    for name in ["component", "component, wasip2"] {
        print_ratio(
            &format!("callback, {name} / raw component calls"),
            ratio(name, "raw component"),
            1.22,
        );
    }
    let increment = rounds.median(|time| {
        (time("metrics adapted") - time("metric adapted"))
            / (time("metrics by hand") - time("metric by hand"))
    });
    print_ratio("metric increment, adapted / by hand", increment, 1.3);
    print_ratio(
        "request, rate-limit with one rule by client address / tutorial",
        ratio("rate-limit", "tutorial"),
        RATE_LIMIT_TARGET,
    );
    println!(
        "request, rate-limit with one rule by x-forwarded-for / tutorial: {:.2}",
        ratio("rate-limit, forwarded", "tutorial")
    );
    let hostcalls = rounds.median(|time| {
        let more = time("time, address and counters by hand") - time("time by hand");
        (time("tutorial") + more) / time("tutorial")
    });
    println!(
        "request, tutorial with the address of the client and two counters, by hand / tutorial: {hostcalls:.2} (a lower bound)"
    );
    for name in [
        "by hand",
        "adapted",
        "adapted, wasip2",
        "component",
        "component, wasip2",
        "raw component",
        "tutorial",
        "rate-limit",
        "rate-limit, forwarded",
        "time by hand",
        "time, address and counters by hand",
    ] {
        println!("{name}: {:.0} ns", rounds.median(|time| time(name)));
    }
}

criterion_group!(benches, callback, ratios, clients::longest);
criterion_main!(benches);
