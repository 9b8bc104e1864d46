//! Tidegate's proxy as a runtime: a server with one worker and a clock that is controlled by the scenario.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegate_host::metrics::MetricKind;
use tidegate_host::{
    CircuitBreakers, Cluster, Clusters, CodeCache, EngineKind, FailurePolicy, ManualClock, Metrics,
    PluginSpec, Server, ServerConfig, Timeouts, Upstream,
};

use super::{Deployed, Runtime, Servers, Started};
use crate::clusters::Addresses;
use crate::logbook::{LogBook, PATIENCE};
use crate::scenario::{self, Histogram, MetricValue, Moment, Scenario};
use crate::surroundings;

/// The default start time of a scenario, in nanoseconds: a moment in 2026. Any nonzero time would do; plugins interpret
/// zero as never.
const BEGINNING: u64 = 1_767_225_600_000_000_000;

struct Host {
    /// `None` after `stop`.
    server: Option<Server>,
    engine: EngineKind,
    address: SocketAddr,
    clock: Arc<ManualClock>,
    log: Arc<LogBook>,
    metrics: Arc<Metrics>,
    start_lines: usize,
}

/// Starts the server.
pub fn start(
    engine: EngineKind,
    plugins: &[Deployed],
    servers: &Servers,
    scenario: &Scenario,
    code: &Arc<CodeCache>,
) -> Result<Started> {
    let beginning = scenario
        .clock
        .map_or(BEGINNING, |Moment(nanoseconds)| nanoseconds);
    let clock = Arc::new(ManualClock::new(beginning));
    let log = Arc::new(LogBook::default());
    let metrics = Arc::<Metrics>::default();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().context("an address")?,
        admin: None,
        upstream: Upstream::Http {
            host: servers.upstream.ip().to_string(),
            port: servers.upstream.port(),
        },
        workers: 1,
        timeouts: Timeouts::default(),
        circuit_breakers: CircuitBreakers::default(),
        profile: scenario.profile.unwrap_or_default().into(),
        plugins: plugins.iter().map(|plugin| spec(engine, plugin)).collect(),
        clock: clock.clone(),
        logs: log.clone(),
        shared_data: Arc::new(surroundings::shared_data(&scenario.shared_data)?),
        queues: Arc::default(),
        metrics: metrics.clone(),
        clusters: clusters(&servers.clusters)?,
        attributes: Arc::new(surroundings::attributes(
            &scenario.metadata,
            &scenario.properties,
        )),
        observer: None,
        code: Some(code.clone()),
        code_cache_dir: None,
    };
    match Server::start(config) {
        Ok(server) => Ok(Started::Serving(Box::new(Host {
            address: server.local_addr(),
            server: Some(server),
            engine,
            clock,
            start_lines: log.len(),
            log,
            metrics,
        }))),
        Err(error) => {
            let reason = format!("{:#}", anyhow::Error::new(error));
            Ok(Started::Refused {
                lines: log.lines(),
                reason,
            })
        }
    }
}

fn clusters(addresses: &Addresses) -> Result<Clusters> {
    let mut clusters = Clusters::default();
    for (name, address) in addresses {
        let cluster = match address {
            Some(address) => Cluster::new(&address.ip().to_string(), address.port())?,
            None => Cluster::without_hosts(),
        };
        clusters.insert(name.clone(), cluster);
    }
    Ok(clusters)
}

fn spec(engine: EngineKind, plugin: &Deployed) -> PluginSpec {
    PluginSpec {
        engine: Some(engine),
        configuration: plugin.configuration.clone(),
        vm_configuration: plugin.vm_configuration.clone(),
        failure_policy: match plugin.failure_policy {
            scenario::FailurePolicy::Reload => FailurePolicy::Reload,
            scenario::FailurePolicy::Closed => FailurePolicy::Closed,
            scenario::FailurePolicy::Open => FailurePolicy::Open,
        },
        // As in the bootstrap for Envoy, a transcript does not wait for restarts.
        restart_interval: Duration::ZERO,
        environment: plugin.environment.clone(),
        seed: plugin.seed,
        ..PluginSpec::new(plugin.name.clone(), plugin.wasm.clone())
    }
}

impl Runtime for Host {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn reload(&self, plugins: &[Deployed]) -> Result<()> {
        let server = self.server.as_ref().context("the proxy was stopped")?;
        let plugins = plugins.iter().map(|plugin| spec(self.engine, plugin));
        server.reload(&plugins.collect::<Vec<_>>())?;
        Ok(())
    }

    fn log(&self) -> &LogBook {
        &self.log
    }

    fn start_lines(&self) -> usize {
        self.start_lines
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.shutdown(PATIENCE);
        }
        Ok(())
    }

    fn metrics(&self) -> BTreeMap<String, Vec<MetricValue>> {
        let mut values: BTreeMap<String, Vec<MetricValue>> = BTreeMap::new();
        for (name, metric) in self.metrics.all() {
            let value = match metric.kind() {
                MetricKind::Counter | MetricKind::Gauge => MetricValue::Number(metric.value()),
                MetricKind::Histogram => MetricValue::Histogram(Histogram {
                    count: metric.count(),
                }),
            };
            let name = String::from_utf8_lossy(&name).into_owned();
            values.entry(name).or_default().push(value);
        }
        values
    }
}
