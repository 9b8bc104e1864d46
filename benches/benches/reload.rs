//! The time from the end of a build to the first response of the new version.
//!
//! This is what `tidegate dev` does in between: it adapts the component, inspects it, compiles it, starts it on every worker, and switches.
//! Each round uses a different component, so that nothing is cached, and a different configuration, so that the response identifies the
//! version. The median is shown with its target.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tidegate_adapter::{Options, adapt, inspect};
use tidegate_benches::load::Connection;
use tidegate_benches::messages::Messages;
use tidegate_benches::statistics::median;
use tidegate_components::guests::{self, Shape};
use tidegate_host::{
    CircuitBreakers, Clusters, EngineKind, LogLine, LogSink, PluginSpec, Profile, Server,
    ServerConfig, SystemClock, Timeouts, Upstream,
};

/// The target: milliseconds from the end of the build to the first response.
const TARGET: f64 = 1000.0;

const WORKERS: usize = 2;

struct NoLogs;

impl LogSink for NoLogs {
    fn line(&self, _: &LogLine<'_>) {}
}

fn main() -> Result<()> {
    let rounds = match std::env::args().any(|argument| argument == "--bench") {
        true => 100,
        // Without `--bench`, the bench only checks that everything works.
        false => 4,
    };
    let component = guests::component("istio-tutorial", Shape::Wasip2)?;
    for engine in [EngineKind::Component, EngineKind::ProxyWasm] {
        measure(&component, engine, rounds)?;
    }
    Ok(())
}

fn measure(component: &[u8], engine: EngineKind, rounds: u8) -> Result<()> {
    let server = Server::start(ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        upstream: Upstream::Echo,
        workers: WORKERS,
        timeouts: Timeouts::default(),
        circuit_breakers: CircuitBreakers::default(),
        profile: Profile::default(),
        plugins: Vec::new(),
        clock: Arc::new(SystemClock),
        logs: Arc::new(NoLogs),
        shared_data: Arc::default(),
        queues: Arc::default(),
        metrics: Arc::default(),
        clusters: Clusters::default(),
        attributes: Arc::default(),
        observer: None,
        code: None,
        code_cache_dir: None,
    })?;
    let mut client = Connection::open(server.local_addr())?;
    let request = Messages::Small.request();
    let (mut looks, mut reloads, mut answers, mut wholes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for round in 0..rounds {
        let component = another(component, round);
        let (limit, expected) = match round % 2 {
            0 => (0, 403),
            _ => (1_000_000_000, 200),
        };
        let ended = Instant::now();
        let mut milliseconds = {
            let mut last = ended;
            move || {
                let lap = last.elapsed();
                last = Instant::now();
                lap.as_secs_f64() * 1e3
            }
        };
        let module = adapt(&component, &Options::default())?;
        inspect(&component)?;
        looks.push(milliseconds());
        let bytes = match engine {
            EngineKind::Component => component,
            EngineKind::ProxyWasm => module,
        };
        let mut plugin = PluginSpec::new("plugin", bytes);
        plugin.configuration =
            format!(r#"{{"requests_per_second": {limit}, "log": false}}"#).into();
        server.reload(&[plugin])?;
        reloads.push(milliseconds());
        client.send(&request)?;
        let status = client.receive()?.status;
        answers.push(milliseconds());
        wholes.push(ended.elapsed().as_secs_f64() * 1e3);
        ensure!(
            status == expected,
            "round {round}: the old version responded with {status}, expected {expected}"
        );
        memory.extend(resident());
    }
    let slowest = wholes.iter().copied().fold(0.0, f64::max);
    let whole = median(wholes);
    println!(
        "reload/{engine}: {whole:.1} ms from cargo's end to the first answer of the new version (median of {rounds}; slowest {slowest:.1}): \
         adapt and inspect {:.1}, compile and start on {WORKERS} workers {:.1}, answer {:.1}",
        median(looks),
        median(reloads),
        median(answers),
    );
    // The first reloads warm up.
    if let (Some(half), Some(last)) = (memory.get(memory.len() / 2), memory.last()) {
        println!(
            "reload/{engine}: {} KiB resident more after the last than halfway",
            *last as i64 - *half as i64
        );
    }
    let verdict = match whole < TARGET {
        true => "met",
        false => "missed",
    };
    println!("reload/{engine}: target, less than {TARGET} ms: {verdict}");
    Ok(())
}

/// Returns the component with an additional custom section.
fn another(component: &[u8], round: u8) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 3, 1, b'n', round]);
    bytes
}

/// Returns the resident memory of the process in KiB, if the system reports it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let number = line.trim().split(' ').next().context("a number").ok()?;
    number.parse().ok()
}
