//! Takes a scenario through one home, and holds what was seen against what it states.
//!
//! [`Runner::run`] only does and writes down; [`check`] only judges. A transcript can so be compared with another home's
//! though both are wrong, and a scenario's failure shows all that happened.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tidegate_host::EchoServer;

use crate::client::{self, Call, Outgoing, OutgoingBody};
use crate::guests::{self, Shape};
use crate::homes::{self, Deployed, Home, HomeKind, Started};
use crate::logbook::shown;
use crate::octets::Octets;
use crate::scenario::{self, Expect, Plugin, Scenario, Step};
use crate::transcript::{Received, Seen, Transcript, values};
use crate::upstream::{Upstream, echoed};

/// Gives the bytes of a plugin for a home.
type Wasm = dyn Fn(&Plugin, HomeKind) -> Result<Bytes> + Send + Sync;

/// Runs scenarios.
pub struct Runner {
    wasm: Box<Wasm>,
}

/// The server behind the proxy.
enum Behind {
    Echo(EchoServer),
    Played(Upstream),
}

// === impl Runner ===

impl Default for Runner {
    /// Runs the guests that scenarios name, as rustc makes components.
    fn default() -> Self {
        Self::with(|plugin, home| {
            let built = guests::build(&plugin.guest, Shape::Wasip2)?;
            Ok(if home == HomeKind::Component {
                built.component
            } else {
                built.module
            })
        })
    }
}

impl Runner {
    /// Runs what `wasm` gives for a scenario's plugins: a component for home `component`, a Proxy-Wasm module for the others.
    pub fn with(wasm: impl Fn(&Plugin, HomeKind) -> Result<Bytes> + Send + Sync + 'static) -> Self {
        Self {
            wasm: Box::new(wasm),
        }
    }

    /// Takes a scenario through a home.
    pub fn run(&self, scenario: &Scenario, kind: HomeKind) -> Result<Transcript> {
        let plugins = scenario
            .plugins
            .iter()
            .map(|plugin| self.deployed(plugin, kind))
            .collect::<Result<Vec<_>>>()?;
        let behind = Behind::start(scenario)?;
        let mut transcript = Transcript::default();
        match homes::start(kind, &plugins, behind.address())? {
            Started::Refused { lines, reason } => {
                ensure!(
                    scenario.start.refused,
                    "the proxy does not start: {reason}\nplugins logged:\n{}",
                    shown(&lines)
                );
                transcript.refused = true;
                transcript.start = lines;
            }
            Started::Serving(mut home) => {
                let steps = steps(scenario, home.as_ref(), &mut transcript);
                // Without the error of the steps nobody would look at that of a graceful stop.
                let stopped = if steps.is_ok() { home.stop() } else { Ok(()) };
                let mut lines = home.log().lines();
                let after = lines.split_off(home.start_lines().min(lines.len()));
                steps.with_context(|| format!("plugins logged:\n{}", shown(&after)))?;
                stopped.context("the proxy did not stop")?;
                (transcript.start, transcript.lines) = (lines, after);
            }
        }
        behind.finish(&mut transcript);
        Ok(transcript)
    }

    fn deployed(&self, plugin: &Plugin, kind: HomeKind) -> Result<Deployed> {
        Ok(Deployed {
            name: plugin.name().to_owned(),
            wasm: (self.wasm)(plugin, kind)?,
            configuration: plugin.configuration(),
            fail_policy: plugin.fail_policy,
            environment: plugin
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }
}

/// Does every step in order.
fn steps(scenario: &Scenario, home: &dyn Home, transcript: &mut Transcript) -> Result<()> {
    let mut run = Run {
        home,
        begun: HashMap::new(),
        awaited: home.start_lines(),
        transcript,
    };
    for (number, step) in scenario.steps.iter().enumerate() {
        run.step(step)
            .with_context(|| format!("step {} cannot be done", number + 1))?;
    }
    match run.begun.keys().next() {
        Some(id) => bail!("request `{id}` is never finished"),
        None => Ok(()),
    }
}

/// A scenario under way.
struct Run<'a> {
    home: &'a dyn Home,
    /// Requests that later steps speak of.
    begun: HashMap<&'a str, Call>,
    /// The number of the first log line that no step has waited for.
    awaited: usize,
    transcript: &'a mut Transcript,
}

impl<'a> Run<'a> {
    fn step(&mut self, step: &'a Step) -> Result<()> {
        let proxy = self.home.address();
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
                };
                self.transcript
                    .exchanges
                    .push(client::ask(proxy, outgoing)?);
            }
            Step::Begin(begin) => {
                let body = match (&begin.body, begin.open) {
                    (None, true) => OutgoingBody::Open,
                    (Some(body), false) => OutgoingBody::Whole(body.0.clone()),
                    (None, false) => OutgoingBody::None,
                    (Some(_), true) => bail!(
                        "`{}` is `open` and has a `body`; send it as a chunk",
                        begin.id
                    ),
                };
                let outgoing = Outgoing {
                    method: &begin.method,
                    path: &begin.path,
                    headers: &begin.headers,
                    body,
                };
                self.begun
                    .insert(&begin.id, client::begin(proxy, outgoing)?);
            }
            Step::Chunk(chunk) => {
                let call = self
                    .begun
                    .get_mut(chunk.id.as_str())
                    .with_context(|| unknown(&chunk.id))?;
                call.chunk(&chunk.data.0, chunk.end)?;
            }
            Step::Finish(finish) => {
                let seen = self.take(&finish.id)?.finish()?;
                self.transcript.exchanges.push(seen);
            }
            Step::Hangup(id) => self.take(id)?.hang_up()?,
            Step::Until(pattern) => {
                self.awaited = self.home.log().wait_for(pattern, self.awaited)?
            }
            Step::Advance(passing) => self.home.advance(passing.0),
        }
        Ok(())
    }

    fn take(&mut self, id: &str) -> Result<Call> {
        self.begun.remove(id).with_context(|| unknown(id))
    }
}

fn unknown(id: &str) -> String {
    format!("no request `{id}` is under way")
}

// === impl Behind ===

impl Behind {
    fn start(scenario: &Scenario) -> Result<Self> {
        if scenario.upstream.is_empty() {
            let any_port: SocketAddr = "127.0.0.1:0".parse()?;
            return Ok(Self::Echo(
                EchoServer::start(any_port).context("failed to start the echo server")?,
            ));
        }
        Upstream::start(&scenario.upstream).map(Self::Played)
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Echo(echo) => echo.local_addr(),
            Self::Played(upstream) => upstream.address(),
        }
    }

    /// Writes down what upstream received. The echo server has told in its answers; what it told is then compared
    /// field by field as a request, not byte by byte as a body.
    fn finish(self, transcript: &mut Transcript) {
        match self {
            Self::Played(upstream) => transcript.received = upstream.received(),
            Self::Echo(_) => {
                for seen in &mut transcript.exchanges {
                    if let Some(received) = echoed(&seen.body) {
                        transcript.received.push(received);
                        seen.body = Octets(b"(what the echo server received)".to_vec());
                        seen.headers.retain(|(name, _)| name != "content-length");
                    }
                }
            }
        }
    }
}

// === Judgement ===

/// Holds a transcript against what its scenario states.
pub fn check(scenario: &Scenario, transcript: &Transcript) -> Result<()> {
    let mut wrong = Vec::new();
    if scenario.start.refused && !transcript.refused {
        wrong.push(
            "the proxy serves, where a plugin should have refused its configuration".to_owned(),
        );
    }
    let mut from = 0;
    for pattern in &scenario.start.logs {
        advance(
            &mut wrong,
            "while starting",
            pattern,
            &transcript.start,
            &mut from,
        );
    }
    let (mut seen, mut received) = (transcript.exchanges.iter(), transcript.received.iter());
    let mut from = 0;
    for (number, step) in scenario.steps.iter().enumerate() {
        let expect = match step {
            Step::Request(exchange) => &exchange.expect,
            Step::Finish(finish) => &finish.expect,
            _ => continue,
        };
        let of = format!("step {}", number + 1);
        match seen.next() {
            Some(seen) => exchange(&mut wrong, &of, expect, seen),
            None => wrong.push(format!("{of}: no exchange")),
        }
        if let Some(stated) = &expect.upstream {
            match received.next() {
                Some(received) => request(&mut wrong, &of, stated, received),
                None => wrong.push(format!("{of}: nothing reached upstream")),
            }
        }
        for pattern in &expect.logs {
            advance(&mut wrong, &of, pattern, &transcript.lines, &mut from);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}\nwhat was seen:\n{transcript}", wrong.join("\n"))
}

fn exchange(wrong: &mut Vec<String>, of: &str, stated: &Expect, seen: &Seen) {
    let of = format!("{of} ({})", seen.request);
    if stated.status.is_some() && stated.status != seen.status {
        wrong.push(format!(
            "{of}: status {:?}, not {:?}",
            seen.status, stated.status
        ));
    }
    if stated.broken != seen.broken {
        wrong.push(format!(
            "{of}: the response is {}",
            if seen.broken {
                "broken off"
            } else {
                "complete"
            }
        ));
    }
    headers(wrong, &of, &stated.headers, &seen.headers);
    body(wrong, &of, stated.body.as_ref(), &seen.body);
}

fn request(wrong: &mut Vec<String>, of: &str, stated: &scenario::Received, received: &Received) {
    let of = format!("{of}, at upstream");
    if stated
        .method
        .as_ref()
        .is_some_and(|method| *method != received.method)
    {
        wrong.push(format!("{of}: method {}", received.method));
    }
    if stated
        .path
        .as_ref()
        .is_some_and(|path| *path != received.path)
    {
        wrong.push(format!("{of}: path {}", received.path));
    }
    headers(wrong, &of, &stated.headers, &received.headers);
    body(wrong, &of, stated.body.as_ref(), &received.body);
}

fn headers(
    wrong: &mut Vec<String>,
    of: &str,
    stated: &std::collections::BTreeMap<String, Vec<Octets>>,
    seen: &[(String, Octets)],
) {
    for (name, stated) in stated {
        let seen = values(seen, name);
        if !seen.iter().copied().eq(stated) {
            wrong.push(format!("{of}: {name} is {seen:?}, not {stated:?}"));
        }
    }
}

fn body(wrong: &mut Vec<String>, of: &str, stated: Option<&Octets>, seen: &Octets) {
    if stated.is_some_and(|stated| stated != seen) {
        wrong.push(format!("{of}: body is {seen:?}"));
    }
}

/// Finds a line behind those that were found before.
fn advance(
    wrong: &mut Vec<String>,
    of: &str,
    pattern: &scenario::LinePattern,
    lines: &[crate::transcript::Line],
    from: &mut usize,
) {
    let meant =
        |line: &crate::transcript::Line| pattern.matches(&line.plugin, &line.level, &line.message);
    match lines.iter().skip(*from).position(meant) {
        Some(found) => *from += found + 1,
        None => wrong.push(format!(
            "{of}: `{pattern}` is not in the log, or not in this order"
        )),
    }
}
