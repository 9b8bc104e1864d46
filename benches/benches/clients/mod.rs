//! How long the longest request callbacks of the plugin `rate-limit` take when a million clients take the place of a million others.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tidegate_benches::messages;
use tidegate_components::guests::{self, Shape};
use tidegate_host::{ManualClock, PluginSpec, Runtime, RuntimeConfig, WorkerChain};

use crate::{Unexpected, is_bench, open_from};

/// A million clients have buckets of their own. Each is idle after a second.
const CONFIGURATION: &str = r#"{ "rules": [{
    "name": "client", "limit": "1/s", "key": [{ "client_address": {} }], "max_dynamic_descriptors": 1000000
}] }"#;

/// The memory limit of the instance, in bytes.
const MEMORY: usize = 64 << 20;

/// The limit of a callback.
const TARGET: Duration = Duration::from_millis(1);

/// How often all requests are sent. The fastest time of each counts, because other programs may interrupt a callback.
const PASSES: usize = 3;

const START: u64 = 1_700_000_000_000_000_000;

/// Prints the times.
pub(crate) fn longest(_: &mut Criterion) {
    let is_bench = is_bench();
    let clients: u32 = if is_bench { 1_000_000 } else { 1000 };
    let module = guests::build("rate-limit", Shape::Bare)
        .expect("component should build")
        .module;
    let mut first = vec![Duration::MAX; clients as usize];
    let mut others = first.clone();
    for _ in 0..PASSES {
        let clock = Arc::new(ManualClock::new(START));
        let mut config = RuntimeConfig::new(Arc::new(Unexpected));
        config.chain.clock = clock.clone();
        let mut spec = PluginSpec::new("rate-limit", module.to_vec());
        spec.configuration = CONFIGURATION.into();
        spec.limits.memory = MEMORY;
        let chain = Runtime::new(config)
            .expect("failed to create the runtime")
            .load(&[spec])
            .expect("plugin should load")
            .start_worker(0)
            .expect("plugin should start");
        send(&chain, 0, &mut first);
        // All buckets are idle now.
        clock.advance(Duration::from_secs(2));
        send(&chain, clients, &mut others);
    }
    if !is_bench {
        return;
    }
    println!(
        "rate-limit in an instance of {} MiB, fastest of {PASSES} passes:",
        MEMORY >> 20
    );
    print(&format!("{clients} clients"), first);
    print(
        &format!("{clients} others, which take their places"),
        others,
    );
}

/// Sends a request of each client, and keeps the times that are shorter than those before.
fn send(chain: &WorkerChain, first: u32, fastest: &mut [Duration]) {
    let request = messages::request();
    for (client, fastest) in (first..).zip(fastest) {
        let mut stream = open_from(chain, Ipv4Addr::from(0x0a00_0000 + client));
        let fields = messages::copy(&request);
        let begun = Instant::now();
        stream.request_headers(black_box(fields), true);
        *fastest = begun.elapsed().min(*fastest);
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let share = |share: usize| {
        let index = times.len().saturating_sub(1 + times.len() / share);
        times.get(index).copied().unwrap_or_default()
    };
    let longest = times.last().copied().unwrap_or_default();
    let verdict = if longest <= TARGET { "met" } else { "missed" };
    println!(
        "request of {what}: median {:?}, 99.9 % {:?}, longest {longest:?} (target {TARGET:?}: {verdict})",
        share(2),
        share(1000),
    );
}
