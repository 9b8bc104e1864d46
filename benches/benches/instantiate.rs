//! Instantiates and configures a compiled plugin, as after a trap or for another worker.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate_benches::candidate::{OUT_OF_REACH, configuration};
use tidegate_components::guests::{self, Shape};
use tidegate_host::{EngineKind, LogLine, LogSink, PluginSpec, Runtime, RuntimeConfig};

/// A sink that drops lines: logging is not measured.
struct Silent;

impl LogSink for Silent {
    fn line(&self, _: &LogLine<'_>) {}
}

fn instantiate(criterion: &mut Criterion) {
    let append = guests::build("bench-append", Shape::Bare).expect("component should build");
    let tutorial = guests::build("istio-tutorial", Shape::Wasip2).expect("component should build");
    let twin = guests::build_module("proxy-wasm-twin").expect("module should build");
    let configuration = configuration(OUT_OF_REACH);
    let runtime =
        Runtime::new(RuntimeConfig::new(Arc::new(Silent))).expect("failed to create the runtime");
    let mut group = criterion.benchmark_group("instantiate");
    for (name, engine, module, configuration) in [
        (
            "component/append",
            EngineKind::Component,
            append.component,
            "",
        ),
        (
            "component/tutorial",
            EngineKind::Component,
            tutorial.component,
            &configuration,
        ),
        (
            "proxy-wasm/append",
            EngineKind::ProxyWasm,
            append.module,
            "",
        ),
        (
            "proxy-wasm/tutorial",
            EngineKind::ProxyWasm,
            tutorial.module,
            &configuration,
        ),
        (
            "proxy-wasm/rust-sdk-tutorial",
            EngineKind::ProxyWasm,
            twin,
            &configuration,
        ),
    ] {
        let mut spec = PluginSpec::new(name, module);
        spec.engine = Some(engine);
        spec.configuration = configuration.as_bytes().to_vec();
        let chain = runtime.load(&[spec]).expect("plugin should load");
        group.bench_function(name, |bencher| {
            bencher.iter_with_large_drop(|| chain.start_worker(0).expect("plugin should start"));
        });
    }
    group.finish();
}

criterion_group!(benches, instantiate);
criterion_main!(benches);
