//! How long adapting takes, and how large what comes of it is.
//!
//! The tutorial's plugin in the shapes that components come in, and any other component: TIDEGATE_BENCH_COMPONENT names a file, for
//! what other languages' tools make.

use std::time::Duration;
use std::{env, fs};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_adapter::{Options, adapt};
use tidegate_benches::table::Table;
use tidegate_testkit::guests::{self, Shape};

fn adapting(criterion: &mut Criterion) {
    let mut components: Vec<(String, Vec<u8>)> = Vec::new();
    for guest in ["bench-append", "istio-tutorial"] {
        for shape in [Shape::Bare, Shape::Wasip2] {
            let component = guests::component(guest, shape).expect("the component is built");
            components.push((format!("{guest}/{shape}"), component));
        }
    }
    if let Some(path) = env::var_os("TIDEGATE_BENCH_COMPONENT") {
        components.push((
            "given".into(),
            fs::read(path).expect("TIDEGATE_BENCH_COMPONENT names a file"),
        ));
    }
    let stripped = Options {
        strip_names: true,
        ..Options::default()
    };
    let mut sizes = Table::new(["bytes of", "component", "adapted", "without names"]);
    let mut group = criterion.benchmark_group("adapt");
    group.warm_up_time(Duration::from_secs(1));
    for (name, component) in &components {
        let adapted = |options: &Options| {
            adapt(component, options)
                .expect("the component is adapted")
                .len()
        };
        sizes.row(vec![
            name.clone(),
            component.len().to_string(),
            adapted(&Options::default()).to_string(),
            adapted(&stripped).to_string(),
        ]);
        group.throughput(Throughput::Bytes(component.len() as u64));
        if component.len() > 1 << 20 {
            group.sample_size(10);
        }
        group.bench_function(name, |bencher| {
            bencher.iter_with_large_drop(|| adapt(component, &Options::default()));
        });
    }
    group.finish();

    let twin = guests::build_module("proxy-wasm-twin").expect("the module is built");
    sizes.row(vec![
        "proxy-wasm-twin, as built".into(),
        "-".into(),
        twin.len().to_string(),
        "-".into(),
    ]);
    println!("{sizes}");
}

criterion_group!(benches, adapting);
criterion_main!(benches);
