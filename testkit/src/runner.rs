//! Runs a scenario in one runtime and records a transcript.
//!
//! [`verdict`](crate::verdict) checks the transcript against the scenario's expectations. Because recording and
//! checking are separate, a transcript can be compared with that of another runtime even if both are wrong, and the
//! failure report of a scenario can show everything that happened.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use tidegate_deploy::envoy::UPSTREAM_CLUSTER;
use tidegate_host::{CodeCache, EngineKind};

use crate::client::{self, Call, Outgoing, OutgoingBody};
use crate::clusters::Clusters;
use crate::envoy::Release;
use crate::gate::Gate;
use crate::logbook::shown;
use crate::octets::Octets;
use crate::runtimes::{self, Deployed, Runtime, RuntimeKind, Servers, Started};
use crate::scenario::{Plugin, Scenario, Step};
use crate::transcript::{Received, Seen, Transcript};
use crate::upstream::{Upstream, echoed};

/// Returns the bytes of a scenario's plugin for a runtime.
type Wasm = dyn Fn(&Scenario, &Plugin, RuntimeKind) -> Result<Bytes> + Send + Sync;

/// Returns the path of an Envoy binary.
type Envoys = dyn Fn(Release) -> Result<PathBuf> + Send + Sync;

/// Placeholder in transcripts for the body of an echo response that arrived unmodified.
pub const ECHOED: &str = "(the request as received by the upstream)";

/// Runs scenarios.
pub struct Runner {
    wasm: Box<Wasm>,
    envoys: Box<Envoys>,
    /// Compiled code, shared because scenarios start many proxies with the same plugins.
    code: OnceLock<Arc<CodeCache>>,
    code_cache_dir: Option<PathBuf>,
}

// === impl Runner ===

impl Runner {
    /// Creates a runner. `wasm` provides the plugin binaries: a component for the `component` runtime, a Proxy-Wasm
    /// module for the others. `envoys` provides the Envoy binaries.
    pub fn new(
        wasm: impl Fn(&Scenario, &Plugin, RuntimeKind) -> Result<Bytes> + Send + Sync + 'static,
        envoys: impl Fn(Release) -> Result<PathBuf> + Send + Sync + 'static,
    ) -> Self {
        Self {
            wasm: Box::new(wasm),
            envoys: Box::new(envoys),
            code: OnceLock::new(),
            code_cache_dir: None,
        }
    }

    /// Keeps compiled code in a directory for later runs. Whoever can write to it can execute code in this process.
    pub fn code_cache_dir(mut self, directory: Option<PathBuf>) -> Self {
        self.code_cache_dir = directory;
        self
    }

    fn code(&self) -> Result<&Arc<CodeCache>> {
        if let Some(code) = self.code.get() {
            return Ok(code);
        }
        let code = Arc::new(CodeCache::new(self.code_cache_dir.as_deref())?);
        Ok(self.code.get_or_init(|| code))
    }

    /// Runs a scenario in a runtime.
    pub fn run(&self, scenario: &Scenario, kind: RuntimeKind) -> Result<Transcript> {
        let plugins = scenario
            .plugins
            .iter()
            .map(|plugin| self.deployed(scenario, plugin, kind))
            .collect::<Result<Vec<_>>>()?;
        let upstream = Upstream::start(&scenario.upstream)?;
        let clusters = Clusters::start(&scenario.clusters)?;
        let at = Servers {
            upstream: upstream.address(),
            clusters: clusters.addresses()?,
        };
        let mut transcript = Transcript::default();
        let in_host = |engine| runtimes::host::start(engine, &plugins, &at, scenario, self.code()?);
        let started = match kind {
            RuntimeKind::Component => in_host(EngineKind::Component),
            RuntimeKind::ProxyWasm => in_host(EngineKind::ProxyWasm),
            RuntimeKind::Envoy(release) => {
                runtimes::envoy::start(&(self.envoys)(release)?, &plugins, &at, scenario)
            }
        };
        let mut calls_apart = Vec::new();
        match started? {
            Started::Refused { lines, reason } => {
                ensure!(
                    scenario.start.refused,
                    "the proxy did not start: {reason}\nplugins logged:\n{}",
                    shown(&lines)
                );
                transcript.refused = true;
                transcript.start = lines;
            }
            Started::Serving(mut runtime) => {
                let steps = steps(
                    scenario,
                    runtime.as_ref(),
                    &upstream,
                    &clusters,
                    &mut transcript,
                );
                // Without the error of the steps nobody would look at that of a graceful stop.
                let stopped = if steps.is_ok() {
                    runtime.stop()
                } else {
                    Ok(())
                };
                let mut lines = runtime.log().lines();
                let after = lines.split_off(runtime.start_lines().min(lines.len()));
                steps.map_err(|error| anyhow!("{error:#}\nplugins logged:\n{}", shown(&after)))?;
                stopped.context("the proxy did not stop")?;
                (transcript.start, transcript.lines) = (lines, after);
                transcript.metrics = runtime.metrics();
                calls_apart = runtime.calls_apart();
            }
        }
        transcript.received = upstream.finish()?;
        transcript.calls = clusters.finish()?;
        leave_out(&mut transcript.calls, &calls_apart);
        transcript
            .exchanges
            .iter_mut()
            .for_each(|seen| told(seen, &transcript.received));
        Ok(transcript)
    }

    fn deployed(
        &self,
        scenario: &Scenario,
        plugin: &Plugin,
        kind: RuntimeKind,
    ) -> Result<Deployed> {
        Ok(Deployed {
            name: plugin.name().to_owned(),
            wasm: (self.wasm)(scenario, plugin, kind)?,
            configuration: plugin.configuration(),
            failure_policy: plugin.failure_policy,
            seed: scenario.seed,
            environment: plugin
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }
}

/// Runs all steps in order.
fn steps(
    scenario: &Scenario,
    runtime: &dyn Runtime,
    upstream: &Upstream,
    clusters: &Clusters,
    transcript: &mut Transcript,
) -> Result<()> {
    let mut run = Run {
        runtime,
        upstream,
        clusters,
        begun: HashMap::new(),
        awaited: runtime.start_lines(),
        arrived: HashMap::new(),
        transcript,
    };
    for (number, step) in scenario.steps.iter().enumerate() {
        run.step(number + 1, step)
            .with_context(|| format!("cannot run step {}", number + 1))?;
    }
    match run.begun.keys().next() {
        Some(id) => bail!("request `{id}` has no `finish` or `hangup` step: add one"),
        None => Ok(()),
    }
}

/// A running scenario.
struct Run<'a> {
    runtime: &'a dyn Runtime,
    upstream: &'a Upstream,
    clusters: &'a Clusters,
    /// Requests that later steps refer to, with the numbers of the steps that began them.
    begun: HashMap<&'a str, (usize, Call)>,
    /// The number of the first log line that no step has waited for.
    awaited: usize,
    /// The number of requests at the upstream and at each cluster that steps have waited for.
    arrived: HashMap<&'a str, usize>,
    transcript: &'a mut Transcript,
}

impl<'a> Run<'a> {
    fn step(&mut self, number: usize, step: &'a Step) -> Result<()> {
        let proxy = self.runtime.address();
        match step {
            Step::Request(request) => {
                let body = request.body.as_ref().map_or(OutgoingBody::None, |body| {
                    OutgoingBody::Whole(body.0.repeat(request.times))
                });
                let outgoing = Outgoing {
                    method: &request.method,
                    path: &request.path,
                    headers: &request.headers,
                    body,
                    trailers: &request.trailers,
                };
                self.upstream
                    .ledger()
                    .begin(number, &request.method, &request.path);
                let seen = client::ask(proxy, outgoing)?;
                self.seen(number, seen);
            }
            Step::Begin(begin) => {
                let body = match (&begin.body, begin.open) {
                    (None, true) => OutgoingBody::Open,
                    (Some(body), false) => OutgoingBody::Whole(body.0.clone()),
                    (None, false) => OutgoingBody::None,
                    (Some(_), true) => bail!(
                        "`{}` is `open` and has a `body`; send the body as a chunk",
                        begin.id
                    ),
                };
                let outgoing = Outgoing {
                    method: &begin.method,
                    path: &begin.path,
                    headers: &begin.headers,
                    body,
                    trailers: &[],
                };
                self.upstream
                    .ledger()
                    .begin(number, &begin.method, &begin.path);
                let call = client::begin(proxy, outgoing)?;
                self.begun.insert(&begin.id, (number, call));
            }
            Step::Chunk(chunk) => {
                let (_, call) = self
                    .begun
                    .get_mut(chunk.id.as_str())
                    .with_context(|| unknown(&chunk.id))?;
                call.chunk(&chunk.data.0, chunk.end)?;
            }
            Step::Finish(finish) => {
                let (number, call) = self.take(&finish.id)?;
                self.seen(number, call.finish()?);
            }
            Step::Hangup(id) => {
                let (number, call) = self.take(id)?;
                call.hang_up()?;
                self.upstream.ledger().end(number);
            }
            Step::Until(pattern) => {
                self.awaited = self.runtime.log().wait_for(pattern, self.awaited)?
            }
            Step::Advance(passing) => self.runtime.advance(passing.0),
            Step::Arrived(server) => {
                let count = self.arrived.get(server.as_str()).copied().unwrap_or(0) + 1;
                let gate = self.gate(server)?;
                gate.wait_for(count).with_context(|| awaited_at(server))?;
                self.arrived.insert(server, count);
            }
            Step::Release(server) => {
                let released = self.gate(server)?.release();
                let number = released.with_context(|| awaited_at(server))?;
                // Waiting for the response includes waiting for its request.
                let arrived = self.arrived.entry(server).or_default();
                *arrived = number.max(*arrived);
            }
        }
        Ok(())
    }

    /// Returns the gate of the upstream or of a cluster.
    fn gate(&self, server: &str) -> Result<&'a Gate> {
        match server {
            UPSTREAM_CLUSTER => Ok(self.upstream.gate()),
            _ => self
                .clusters
                .gate(server)
                .with_context(|| format!("no request can arrive at `{server}`")),
        }
    }

    fn seen(&mut self, step: usize, seen: Seen) {
        self.upstream.ledger().end(step);
        self.transcript.exchanges.push(Seen { step, ..seen });
    }

    fn take(&mut self, id: &str) -> Result<(usize, Call)> {
        self.begun.remove(id).with_context(|| unknown(id))
    }
}

fn unknown(id: &str) -> String {
    format!("no request `{id}` is in progress: start it with a `begin` step")
}

fn awaited_at(server: &str) -> String {
    format!("at `{server}`")
}

/// Removes calls of instances that serve no streams: for each, one call with this path. Which one does not matter as long as
/// instances of the same plugin send the same calls.
fn leave_out(calls: &mut BTreeMap<String, Vec<Received>>, apart: &[(String, String)]) {
    for (cluster, path) in apart {
        let Some(calls) = calls.get_mut(cluster) else {
            continue;
        };
        if let Some(at) = calls.iter().rposition(|call| call.path == *path) {
            calls.remove(at);
        }
    }
}

/// Replaces the body of an echo response that arrived unmodified. Its contents are compared field by field as an
/// upstream request; comparing the body byte by byte would depend on the order of the fields.
fn told(seen: &mut Seen, received: &[Received]) {
    let sorted = |received: &Received| {
        let mut headers = received.headers.clone();
        headers.sort();
        (
            received.method.clone(),
            received.path.clone(),
            headers,
            received.body.clone(),
        )
    };
    let own = received
        .iter()
        .find(|received| received.of == Some(seen.step));
    if let (Some(own), Some(echoed)) = (own, echoed(&seen.body))
        && sorted(own) == sorted(&echoed)
    {
        seen.body = Octets(ECHOED.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_instances_without_streams_are_left_out() {
        let call = |path: &str| Received {
            path: path.to_owned(),
            ..Received::default()
        };
        let at = |cluster: &str, path: &str| (cluster.to_owned(), path.to_owned());
        let received = vec![call("/a"), call("/b"), call("/a")];
        let mut calls = BTreeMap::from([("x".to_owned(), received)]);
        leave_out(&mut calls, &[at("x", "/a"), at("y", "/a"), at("x", "/c")]);
        assert_eq!(calls["x"], [call("/a"), call("/b")]);
    }
}
