//! The duration of adapting, and the size of the result.
//!
//! Measures the tutorial's plugin with each toolchain for components, and any other component: `TIDEGATE_BENCH_COMPONENT` is the path of
//! a component, for example from another language.

use std::time::Duration;
use std::{env, fs};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_adapter::{Options, adapt, inspect};
use tidegate_benches::table::Table;
use tidegate_components::guests::{self, Shape};

fn adapting(criterion: &mut Criterion) {
    let mut components: Vec<(String, Vec<u8>)> = Vec::new();
    for guest in ["bench-append", "istio-tutorial"] {
        for shape in [Shape::Bare, Shape::Wasip2] {
            let component = guests::component(guest, shape).expect("component should build");
            components.push((format!("{guest}/{shape}"), component));
        }
    }
    if let Some(path) = env::var_os("TIDEGATE_BENCH_COMPONENT") {
        components.push((
            "given".into(),
            fs::read(path).expect("failed to read the file in TIDEGATE_BENCH_COMPONENT"),
        ));
    }
    let mut sizes = Table::new([
        "bytes of",
        "component",
        "module",
        "without names",
        "names",
        "code",
        "data",
        "custom",
        "other",
    ]);
    let mut group = criterion.benchmark_group("adapt");
    group.warm_up_time(Duration::from_secs(1));
    for (name, component) in &components {
        let module = adapt(component, &Options::default()).expect("component should be adapted");
        sizes.row(parts(name, Some(component.len()), &module));
        group.throughput(Throughput::Bytes(component.len() as u64));
        if component.len() > 1 << 20 {
            group.sample_size(10);
        }
        group.bench_function(name, |bencher| {
            bencher.iter_with_large_drop(|| adapt(component, &Options::default()));
        });
    }
    group.finish();

    let twin = guests::build_module("proxy-wasm-twin").expect("module should build");
    sizes.row(parts("proxy-wasm-twin, as built", None, &twin));
    println!("{sizes}");
}

/// Formats the sizes of the parts of a module. Section headers are included in the rest.
fn parts(name: &str, component: Option<usize>, module: &[u8]) -> Vec<String> {
    let size = inspect(module).expect("valid Proxy-Wasm module").size;
    let component = component.map_or("-".to_owned(), |bytes| bytes.to_string());
    let without_names = size.total - size.names;
    let parts = [
        size.total,
        without_names,
        size.names,
        size.code,
        size.data,
        size.custom,
        size.other,
    ];
    [name.to_owned(), component]
        .into_iter()
        .chain(parts.map(|bytes| bytes.to_string()))
        .collect()
}

criterion_group!(benches, adapting);
criterion_main!(benches);
