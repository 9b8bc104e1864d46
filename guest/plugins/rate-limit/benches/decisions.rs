//! How long decisions take without a proxy: about a request by the address of its client, and about a million keys.
//!
//! `cargo bench -p rate-limit --bench decisions` prints the times and whether they meet their targets. Without `--bench`, as in
//! `cargo test`, the bench runs briefly to check that it works.

#![expect(
    dead_code,
    unused_imports,
    reason = "a plugin cannot be linked as a library, so its modules are compiled here, too, with their tests"
)]

#[path = "../src"]
mod plugin {
    pub mod config;
    pub mod engine;
    pub mod jwt;
    pub mod key;
    pub mod key_part;
    pub mod limit;
    pub mod rule;
    pub mod set;
    pub mod shared;
    pub mod table;
    pub mod text;
}

use std::hint::black_box;
use std::time::{Duration, Instant};

use plugin::{config, engine, jwt, key, key_part, limit, rule, set, shared, table, text};
use plugin_matching::Request;

use config::Config;
use engine::Engine;
use key::KeyHasher;
use limit::{Algorithm, Limit};
use rule::Rule;
use set::{Key, Operation};
use shared::{Store, Stored};
use table::{Size, Table};

/// The limit of a decision about a request.
const DECISION: Duration = Duration::from_nanos(60);

/// The limit of a decision that forgets another key.
const EVICTION: Duration = Duration::from_millis(1);

/// The memory for a key, in bytes. It is documented.
const KEY_BYTES: u64 = 39;

/// How often all decisions are repeated. The fastest time of each counts, because other programs may interrupt it.
const PASSES: usize = 3;

/// How many decisions are timed together, so that the resolution of the clock is irrelevant.
const BATCH: u32 = 1000;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// A request of a client with this `source.address`.
struct Client(String);

/// No rule uses shared data.
struct NoStore;

impl Request for Client {
    fn header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn property(&self, _: &[&str]) -> Option<Vec<u8>> {
        Some(self.0.as_bytes().to_vec())
    }
}

impl Store for NoStore {
    type Error = ();

    fn get(&self, _: &str) -> Result<Option<Stored>, ()> {
        Err(())
    }

    fn set(&self, _: &str, _: &[u8], _: Option<u32>) -> Result<bool, ()> {
        Err(())
    }
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (batches, keys) = if is_bench {
        (5000, 1_000_000)
    } else {
        (1, 10_000)
    };
    for clients in [1, 1000] {
        let time = check(clients, batches);
        let what = format!("check of a request by client address, of one of {clients} clients");
        print(&what, time, DECISION);
    }
    million(keys);
}

/// Returns how long an engine takes to check a request, from the proxy's copy of the address to the decision.
fn check(clients: u32, batches: usize) -> Duration {
    let config = br#"{ "rules": [{ "name": "client", "limit": "1000000000/s", "key": [{ "client_address": {} }] }] }"#;
    let config: Config = tidegate_guest::read_config(config).expect("a good configuration");
    let rules = config.rules.into_iter().enumerate();
    let rules = rules.map(|(index, rule)| Rule::new(rule, index).expect("a good rule"));
    let engine = Engine::new(rules.collect(), 7, |_| (NoStore, String::new()));
    let engine = engine.expect("no shared data is used");
    let clients: Vec<Client> = (0..clients)
        .map(|client| Client(format!("10.20.{}.{}:43210", client >> 8, client & 255)))
        .collect();
    let mut clients = clients.iter().cycle();
    let mut now = START;
    // A batch is short, so that few of them are interrupted by other programs.
    let mut time = |decide: &mut dyn FnMut(&Client)| {
        let begun = Instant::now();
        for client in clients.by_ref().take(BATCH as usize) {
            decide(black_box(client));
        }
        begun.elapsed() / BATCH
    };
    let mut times: Vec<Duration> = (0..batches)
        .map(|_| {
            let all = time(&mut |client| {
                now += 100;
                let outcome = engine.check(client, now, false, |_, _| {});
                assert!(black_box(outcome).rejected.is_none());
            });
            // The proxy makes this copy.
            let copy = time(&mut |client| drop(black_box(client.property(&[]))));
            all.saturating_sub(copy)
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Lets as many keys as a table is for use it, and then as many others, which take their places.
fn million(keys: u32) {
    let limit = Limit::new(Algorithm::TokenBucket, 1, SECOND, 1).expect("a good limit");
    let limits = [limit];
    let size = Size::for_keys(keys);
    let mut fastest = [const { Vec::new() }; 2].map(|mut times: Vec<Duration>| {
        times.resize(keys as usize, Duration::MAX);
        times
    });
    let mut overflows = [0_u32; 2];
    let mut resident = None;
    for _ in 0..PASSES {
        let before = resident_bytes();
        let mut table = Table::new(size);
        resident = resident_bytes()
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        for (part, (fastest, overflows)) in (0..).zip(fastest.iter_mut().zip(&mut overflows)) {
            *overflows = 0;
            // All buckets are idle when the others come.
            let now = START + u64::from(part) * 2 * SECOND;
            for (index, fastest) in (0..).zip(fastest) {
                let mut hasher = KeyHasher::new(7);
                hasher.word(u64::from(part * keys + index));
                let key = Key::new(hasher.finish(), 0);
                let begun = Instant::now();
                let decision = table.apply(&limits, black_box(key), now, Operation::Take(1));
                *fastest = begun.elapsed().min(*fastest);
                *overflows += u32::from(decision.expect("a decision").overflow);
            }
        }
        black_box(&table);
    }
    let bytes = size.bytes();
    println!(
        "table for {keys} keys: {bytes} bytes, {} each (target {KEY_BYTES}: {}); resident: {}",
        bytes.div_ceil(keys.into()),
        verdict(bytes <= KEY_BYTES * u64::from(keys)),
        resident.map_or("unknown".to_owned(), |bytes| format!("{bytes} bytes")),
    );
    for ((mut times, overflows), what) in fastest
        .into_iter()
        .zip(overflows)
        .zip(["keys", "others, which take their places"])
    {
        println!("{keys} {what}: {overflows} share a bucket, because none was free in their set");
        times.sort_unstable();
        let longest = times.last().copied().unwrap_or_default();
        print("the longest decision about one of them", longest, EVICTION);
    }
}

/// Returns how much of this process is in memory.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kilobytes << 10)
}

fn print(what: &str, time: Duration, target: Duration) {
    println!(
        "{what}: {time:?} (target {target:?}: {})",
        verdict(time <= target)
    );
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
