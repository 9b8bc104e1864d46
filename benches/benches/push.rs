//! The time to push a module to a registry: building the image, compressing it, requests, uploads.
//!
//! The registry is CNCF Distribution on this machine. Each module is different, so that everything is uploaded each time. A push without
//! any new blob is measured as well.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tidegate_oci::{Access, Image, Labels, Layout, Reference, Registry, push};

#[path = "../../oci/tests/oci/registries/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the library's tests need more of it"
)]
mod registries;

/// The size of a typical adapted plugin.
const SIZE: usize = 20 * 1024;

fn pushing(criterion: &mut Criterion) {
    let found = std::process::Command::new("docker-registry")
        .arg("--version")
        .output();
    if found.is_err() {
        println!("push: SKIPPED: `docker-registry` is not on PATH");
        return;
    }
    let registry = registries::Distribution::open();
    let reference = format!("oci://{}/bench:v1", registry.address);
    let reference: Reference = reference.parse().expect("valid reference");
    let send = |wasm: Vec<u8>| {
        let image = Image::plugin(&wasm, Layout::Compat, &Labels::default());
        // A new connection each time, as in the command-line tool.
        let mut registry = Registry::open(&reference, Access::default());
        push(&mut registry, &image, "v1").expect("push should succeed")
    };
    let mut group = criterion.benchmark_group("push");
    group.sample_size(20);
    let mut count = 0;
    group.bench_function("new", |bencher| {
        let another = || {
            count += 1;
            module(count)
        };
        bencher.iter_batched(another, send, BatchSize::PerIteration);
    });
    group.bench_function("again", |bencher| {
        bencher.iter_batched(|| module(0), send, BatchSize::PerIteration);
    });
    group.finish();
}

/// Returns bytes that depend on a number and compress by about half, like code.
fn module(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1);
    let mut next = || {
        // Marsaglia's xorshift generator.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state & 0x0f) as u8
    };
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.resize_with(SIZE, &mut next);
    module
}

criterion_group!(benches, pushing);
criterion_main!(benches);
