//! Runs a scenario in one runtime and records a transcript.
//!
//! [`verdict`](crate::verdict) checks the transcript against the scenario's expectations. Because recording and
//! checking are separate, a transcript can be compared with that of another runtime even if both are wrong, and the
//! failure report of a scenario can show everything that happened.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use tidegate_deploy::envoy::UPSTREAM_CLUSTER;
use tidegate_host::{CodeCache, CodeCacheStats, EngineKind};

use crate::client::{self, Call, Outgoing, OutgoingBody};
use crate::clusters::Clusters;
use crate::envoy::Release;
use crate::gate::Gate;
use crate::logbook::shown;
use crate::octets::Octets;
use crate::runtimes::envoy::Reused;
use crate::runtimes::{self, Deployed, Runtime, RuntimeKind, SentCall, Servers, Started};
use crate::scenario::{Awaited, Plugin, Scenario, Step};
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
    reused: Reused,
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
            reused: Reused::default(),
            code: OnceLock::new(),
            code_cache_dir: None,
        }
    }

    /// Keeps compiled code in a directory for later runs. A user who can write to it can execute code in this process.
    pub fn code_cache_dir(mut self, directory: Option<PathBuf>) -> Self {
        self.code_cache_dir = directory;
        self
    }

    /// Returns how the directory of compiled code was used, if there is one and code was needed.
    pub fn code_cache_stats(&self) -> Option<CodeCacheStats> {
        self.code.get().and_then(|code| code.disk_stats())
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
        let deployed = |plugins: &[Plugin]| -> Result<Vec<Deployed>> {
            let plugins = plugins.iter();
            plugins
                .map(|plugin| self.deployed(scenario, plugin, kind))
                .collect()
        };
        let plugins = deployed(&scenario.plugins)?;
        // Before the proxy starts, because a plugin may have to be built first.
        let reloads = scenario.reloads().map(deployed);
        let reloads = reloads.collect::<Result<Vec<_>>>()?;
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
                let binary = (self.envoys)(release)?;
                self.reused.start(&binary, &plugins, &at, scenario)
            }
        };
        let mut sent_calls = Vec::new();
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
                    &reloads,
                    runtime.as_ref(),
                    &upstream,
                    &clusters,
                    &mut transcript,
                );
                // After a failed step, a graceful shutdown is not required: report only the error of the step.
                let stopped = if steps.is_ok() {
                    runtime.stop()
                } else {
                    Ok(())
                };
                let mut lines = runtime.log().lines();
                let after = lines.split_off(runtime.start_lines().min(lines.len()));
                // A step that failed may be a consequence.
                let mistakes = runtime.log().mistakes();
                ensure!(
                    mistakes.is_empty(),
                    "a plugin made a mistake:\n{}",
                    shown(&mistakes)
                );
                steps.map_err(|error| anyhow!("{error:#}\nplugins logged:\n{}", shown(&after)))?;
                stopped.context("the proxy did not stop")?;
                (transcript.start, transcript.lines) = (lines, after);
                transcript.metrics = runtime.metrics();
                sent_calls = runtime.sent_calls();
            }
        }
        transcript.received = upstream.finish()?;
        transcript.calls = clusters.finish()?;
        leave_out(&mut transcript.calls, &sent_calls);
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
            vm_configuration: plugin.vm_configuration(),
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

/// Runs all steps in order. `reloads` contains the plugins that each `reload` step starts.
fn steps(
    scenario: &Scenario,
    reloads: &[Vec<Deployed>],
    runtime: &dyn Runtime,
    upstream: &Upstream,
    clusters: &Clusters,
    transcript: &mut Transcript,
) -> Result<()> {
    let mut run = Run {
        runtime,
        upstream,
        clusters,
        reloads: reloads.iter(),
        begun: HashMap::new(),
        awaited: runtime.start_lines(),
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
    /// The plugins of the `reload` steps that follow.
    reloads: std::slice::Iter<'a, Vec<Deployed>>,
    /// Requests that later steps refer to, with the numbers of the steps that began them.
    begun: HashMap<&'a str, (usize, Call)>,
    /// The number of the first log line that no step has waited for.
    awaited: usize,
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
            Step::Arrived(awaited) => {
                let arrived = self.gate(awaited)?.wait_for(awaited.path());
                arrived.with_context(|| format!("at {awaited}"))?;
            }
            Step::Release(awaited) => {
                let released = self.gate(awaited)?.release(awaited.path());
                released.with_context(|| format!("at {awaited}"))?;
            }
            Step::Reload(_) => {
                let plugins = self
                    .reloads
                    .next()
                    .context("there are no plugins for this reload")?;
                self.runtime.reload(plugins)?;
            }
        }
        Ok(())
    }

    /// Returns the gate of the upstream or of a cluster.
    fn gate(&self, awaited: &Awaited) -> Result<&'a Gate> {
        match awaited.cluster() {
            UPSTREAM_CLUSTER => Ok(self.upstream.gate()),
            cluster => self.clusters.gate(cluster).with_context(|| {
                format!("no request can arrive at `{cluster}`, which is `refused` or `no-hosts`")
            }),
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

/// Removes the calls of instances that serve no streams. Calls with the same cluster and path cannot be told apart. They are assumed to
/// arrive in the order in which they were sent, except that two instances can send one each at the same time, from different threads:
/// then the call that arrives first stays.
fn leave_out(calls: &mut BTreeMap<String, Vec<Received>>, sent: &[SentCall]) {
    for (cluster, received) in calls {
        let sent = sent.iter().filter(|call| call.cluster == *cluster);
        let mut sent: Vec<SentCall> = sent.cloned().collect();
        let mut at = 0;
        while let Some([first, second, ..]) = sent.get_mut(at..) {
            at += 1;
            if first.is_apart && !second.is_apart && first.path == second.path {
                std::mem::swap(first, second);
                at += 1;
            }
        }
        let mut are_apart: HashMap<&str, VecDeque<bool>> = HashMap::new();
        for call in &sent {
            let are_apart = are_apart.entry(&call.path).or_default();
            are_apart.push_back(call.is_apart);
        }
        received.retain(|call| {
            let are_apart = are_apart.get_mut(call.path.as_str());
            are_apart.and_then(VecDeque::pop_front) != Some(true)
        });
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

    /// Returns the calls that are left of those with the paths `received`, if `sent` were sent: `-/a` by an instance without streams.
    fn left(received: &[&str], sent: &[&str]) -> Vec<String> {
        let received = received.iter().map(|path| Received {
            path: (*path).to_owned(),
            ..Received::default()
        });
        let sent = sent.iter().map(|call| SentCall {
            cluster: "x".to_owned(),
            path: call.trim_start_matches('-').to_owned(),
            is_apart: call.starts_with('-'),
        });
        let mut calls = BTreeMap::from([("x".to_owned(), received.collect())]);
        leave_out(&mut calls, &sent.collect::<Vec<_>>());
        let left = calls.remove("x").into_iter().flatten();
        left.map(|call| call.path).collect()
    }

    #[test]
    fn calls_of_instances_without_streams_are_left_out() {
        assert_eq!(left(&["/a", "/b"], &[]), ["/a", "/b"]);
        assert_eq!(
            left(&["/a", "/b", "/a"], &["/a", "/b", "-/a", "-/c"]),
            ["/a", "/b"]
        );
        // One that has been sent has not arrived.
        assert_eq!(left(&["/a"], &["/a", "-/a"]), ["/a"]);
        // The call that was sent first arrives last.
        assert_eq!(
            left(&["/key", "/a", "/key"], &["-/key", "/key", "/a"]),
            ["/key", "/a"]
        );
        // Both instances send a call when they start, and are started twice.
        let received = ["/key", "/key", "/a", "/key", "/key"];
        for sent in [
            ["/key", "-/key", "/a", "/key", "-/key"],
            ["/key", "-/key", "/a", "-/key", "/key"],
            ["-/key", "/key", "/a", "/key", "-/key"],
        ] {
            assert_eq!(left(&received, &sent), ["/key", "/a", "/key"], "{sent:?}");
        }
    }
}
