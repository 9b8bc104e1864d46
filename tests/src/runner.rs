//! Takes a scenario through one home, and holds what was seen against what it states.
//!
//! [`Runner::run`] only does and writes down; [`check`] only judges. A transcript can so be compared with another home's
//! though both are wrong, and a scenario's failure shows all that happened.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use crate::client::{self, Call, Outgoing, OutgoingBody};
use crate::guests::{self, Shape};
use crate::homes::{self, Deployed, Home, HomeKind, Started};
use crate::ledger::Ledger;
use crate::logbook::shown;
use crate::octets::Octets;
use crate::scenario::{self, AtUpstream, Expect, Plugin, Scenario, Step};
use crate::transcript::{Received, Seen, Transcript, values};
use crate::upstream::{Upstream, echoed};

/// Gives the bytes of a plugin for a home.
type Wasm = dyn Fn(&Plugin, HomeKind) -> Result<Bytes> + Send + Sync;

/// Runs scenarios.
pub struct Runner {
    wasm: Box<Wasm>,
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
        let upstream = Upstream::start(&scenario.upstream)?;
        let mut transcript = Transcript::default();
        match homes::start(kind, &plugins, upstream.address())? {
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
                let steps = steps(scenario, home.as_ref(), upstream.ledger(), &mut transcript);
                // Without the error of the steps nobody would look at that of a graceful stop.
                let stopped = if steps.is_ok() { home.stop() } else { Ok(()) };
                let mut lines = home.log().lines();
                let after = lines.split_off(home.start_lines().min(lines.len()));
                steps.with_context(|| format!("plugins logged:\n{}", shown(&after)))?;
                stopped.context("the proxy did not stop")?;
                (transcript.start, transcript.lines) = (lines, after);
            }
        }
        transcript.received = upstream.finish()?;
        transcript
            .exchanges
            .iter_mut()
            .for_each(|seen| told(seen, &transcript.received));
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
fn steps(
    scenario: &Scenario,
    home: &dyn Home,
    ledger: &Ledger,
    transcript: &mut Transcript,
) -> Result<()> {
    let mut run = Run {
        home,
        ledger,
        begun: HashMap::new(),
        awaited: home.start_lines(),
        transcript,
    };
    for (number, step) in scenario.steps.iter().enumerate() {
        run.step(number + 1, step)
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
    ledger: &'a Ledger,
    /// Requests that later steps speak of, with the numbers of those that began them.
    begun: HashMap<&'a str, (usize, Call)>,
    /// The number of the first log line that no step has waited for.
    awaited: usize,
    transcript: &'a mut Transcript,
}

impl<'a> Run<'a> {
    fn step(&mut self, number: usize, step: &'a Step) -> Result<()> {
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
                    trailers: &request.trailers,
                };
                self.ledger.begin(number, &request.method, &request.path);
                let seen = client::ask(proxy, outgoing)?;
                self.seen(number, seen);
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
                    trailers: &[],
                };
                self.ledger.begin(number, &begin.method, &begin.path);
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
                self.ledger.end(number);
            }
            Step::Until(pattern) => {
                self.awaited = self.home.log().wait_for(pattern, self.awaited)?
            }
            Step::Advance(passing) => self.home.advance(passing.0),
        }
        Ok(())
    }

    fn seen(&mut self, step: usize, seen: Seen) {
        self.ledger.end(step);
        self.transcript.exchanges.push(Seen { step, ..seen });
    }

    fn take(&mut self, id: &str) -> Result<(usize, Call)> {
        self.begun.remove(id).with_context(|| unknown(id))
    }
}

fn unknown(id: &str) -> String {
    format!("no request `{id}` is under way")
}

/// Takes the echo's answer out of a response that brought it unharmed: as a request it is compared field by field, and
/// here it would be byte by byte, in whichever order the fields came.
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
        seen.body = Octets(b"(what upstream received)".to_vec());
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
    let mut seen = transcript.exchanges.iter();
    let mut from = 0;
    for (number, step) in scenario.steps.iter().enumerate() {
        let expect = match step {
            Step::Request(exchange) => &exchange.expect,
            Step::Finish(finish) => &finish.expect,
            _ => continue,
        };
        let of = format!("step {}", number + 1);
        match seen.next() {
            Some(seen) => {
                exchange(&mut wrong, &of, expect, seen);
                if let Some(stated) = &expect.upstream {
                    at_upstream(&mut wrong, &of, stated, seen.step, &transcript.received);
                }
            }
            None => wrong.push(format!("{of}: no exchange")),
        }
        for pattern in &expect.logs {
            advance(&mut wrong, &of, pattern, &transcript.lines, &mut from);
        }
    }
    for stray in transcript
        .received
        .iter()
        .filter(|received| received.of.is_none())
    {
        wrong.push(format!(
            "{} {} reached upstream, and nothing tells which step's it is",
            stray.method, stray.path
        ));
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
    let of = format!("{of}, trailers");
    headers(wrong, &of, &stated.trailers, &seen.trailers);
}

/// What reached upstream of the request that this step sent.
fn at_upstream(
    wrong: &mut Vec<String>,
    of: &str,
    stated: &AtUpstream,
    step: usize,
    received: &[Received],
) {
    let own: Vec<_> = received
        .iter()
        .filter(|received| received.of == Some(step))
        .collect();
    match (stated, &own[..]) {
        (AtUpstream::Nothing, []) => {}
        (AtUpstream::Nothing, [some, ..]) => wrong.push(format!(
            "{of}: {} {} reached upstream, where nothing should have",
            some.method, some.path
        )),
        (AtUpstream::Request(stated), [received]) => {
            if !received.complete {
                wrong.push(format!("{of}: the request at upstream is broken off"));
            }
            request(wrong, of, stated, received);
        }
        (AtUpstream::Request(_), []) => wrong.push(format!("{of}: nothing reached upstream")),
        (AtUpstream::Request(_), several) => {
            wrong.push(format!("{of}: reached upstream {} times", several.len()))
        }
    }
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
    let of = format!("{of}, trailers");
    headers(wrong, &of, &stated.trailers, &received.trailers);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong where a scenario states `upstream` of its one step, and this reached upstream.
    fn wrong(upstream: &str, received: &[(Option<usize>, bool)]) -> String {
        let scenario: Scenario = serde_saphyr::from_str(&format!(
            "about: x\nplugins: [{{guest: probe}}]\nsteps:\n- request: {{path: /, expect: {{upstream: {upstream}}}}}\n"
        ))
        .expect("a scenario");
        let received = received.iter().map(|(of, complete)| Received {
            of: *of,
            path: "/".into(),
            complete: *complete,
            ..Received::default()
        });
        let transcript = Transcript {
            exchanges: vec![Seen {
                step: 1,
                ..Seen::default()
            }],
            received: received.collect(),
            ..Transcript::default()
        };
        match check(&scenario, &transcript) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn none_means_that_not_even_a_head_reached_upstream() {
        assert_eq!(wrong("none", &[]), "");
        assert_eq!(wrong("none", &[(Some(2), true)]), "", "another step's");
        let head = wrong("none", &[(Some(1), false)]);
        assert!(head.contains("where nothing should have"), "{head}");
    }

    #[test]
    fn request_reaches_upstream_once_and_whole() {
        assert_eq!(wrong("{path: /}", &[(Some(1), true)]), "");
        let lacks = |received: &[_], what: &str| {
            let wrong = wrong("{path: /}", received);
            assert!(wrong.contains(what), "{wrong}");
        };
        lacks(&[(Some(2), true)], "nothing reached upstream");
        lacks(&[(Some(1), false)], "broken off");
        lacks(&[(Some(1), true), (Some(1), true)], "2 times");
        lacks(&[(Some(1), true), (None, true)], "which step's it is");
    }
}
