//! A record of everything observable that happened while a scenario ran in one runtime.
//!
//! This is plain data. [`runner`](crate::runner) records it, and [`compare`](crate::compare) compares two transcripts.

use std::collections::BTreeMap;

use crate::octets::Octets;
use crate::scenario::MetricValue;

/// The transcript of one run of a scenario.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Whether a plugin rejected its configuration, so that the proxy did not start.
    pub refused: bool,
    /// Plugin log lines written during startup, on one worker.
    pub start: Vec<Line>,
    /// Plugin log lines written afterwards, on the same worker, in order.
    pub lines: Vec<Line>,
    /// The responses seen by clients, in the order in which they were awaited.
    pub exchanges: Vec<Seen>,
    /// The requests received by the upstream, in the order of the steps that they belong to.
    pub received: Vec<Received>,
    /// The calls received by each cluster, in the order of arrival.
    pub calls: BTreeMap<String, Vec<Received>>,
    /// The values of metrics at the end, if the scenario states any. The kinds have separate names.
    pub metrics: BTreeMap<String, Vec<MetricValue>>,
}

/// A line of a plugin's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The name of the plugin.
    pub plugin: String,
    /// The name of the level, as returned by [`tidegate_host::Level::name`].
    pub level: String,
    /// The message.
    pub message: String,
}

/// A response as seen by a client.
#[derive(Debug, Default)]
pub struct Seen {
    /// The number of the step that sent the request.
    pub step: usize,
    /// The request, as in `GET /path`.
    pub request: String,
    /// The status, if a response began.
    pub status: Option<u16>,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// The part of the body that was received.
    pub body: Octets,
    /// The trailers, in order.
    pub trailers: Vec<(String, Octets)>,
    /// Whether the connection broke before the response was complete.
    pub broken: bool,
}

/// A request as received by the upstream or by a cluster.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Received {
    /// The number of the step that sent it. `None` if it cannot be determined (see [`ledger`](crate::ledger)), and for calls.
    pub of: Option<usize>,
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// The complete body.
    pub body: Octets,
    /// The trailers, in order.
    pub trailers: Vec<(String, Octets)>,
    /// Whether the request was complete. For an incomplete request, only the head is known.
    pub complete: bool,
}

/// Returns all values of a field, in order.
pub fn values<'a>(fields: &'a [(String, Octets)], name: &str) -> Vec<&'a Octets> {
    fields
        .iter()
        .filter(|(field, _)| field == name)
        .map(|(_, value)| value)
        .collect()
}

// === impl Line ===

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.plugin, self.level, self.message)
    }
}

// === impl Transcript ===

/// Formats the transcript for a reader: startup, responses, upstream requests, calls, log lines, metrics.
impl std::fmt::Display for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.refused {
            writeln!(f, "the proxy did not start")?;
        }
        for line in &self.start {
            writeln!(f, "start: {line}")?;
        }
        for seen in &self.exchanges {
            let status = seen
                .status
                .map_or("no response".to_owned(), |status| status.to_string());
            let broken = if seen.broken { ", incomplete" } else { "" };
            writeln!(
                f,
                "{} -> {status}{broken} {:?} {:?}{}",
                seen.request,
                Fields(&seen.headers),
                seen.body,
                Trailers(&seen.trailers)
            )?;
        }
        for received in &self.received {
            let of = received.of.map_or("of an unknown step".to_owned(), |step| {
                format!("of step {step}")
            });
            writeln!(f, "upstream, {of}: {received}")?;
        }
        for (cluster, calls) in &self.calls {
            for call in calls {
                writeln!(f, "cluster {cluster}: {call}")?;
            }
        }
        for line in &self.lines {
            writeln!(f, "log: {line}")?;
        }
        for (name, values) in &self.metrics {
            for value in values {
                writeln!(f, "metric {name}: {value}")?;
            }
        }
        Ok(())
    }
}

// === impl Received ===

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let broken = if self.complete { "" } else { ", incomplete" };
        write!(
            f,
            "{} {}{broken} {:?} {:?}{}",
            self.method,
            self.path,
            Fields(&self.headers),
            self.body,
            Trailers(&self.trailers)
        )
    }
}

/// Formats the trailers after a body, if there are any.
struct Trailers<'a>(&'a [(String, Octets)]);

impl std::fmt::Display for Trailers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => Ok(()),
            trailers => write!(f, " {:?}", Fields(trailers)),
        }
    }
}

struct Fields<'a>(&'a [(String, Octets)]);

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| (name, value)))
            .finish()
    }
}
