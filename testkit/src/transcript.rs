//! Everything that was seen while a scenario ran in one runtime.
//!
//! Plain data. [`runner`](crate::runner) writes it, [`compare`](crate::compare) holds two of them against each other.

use crate::octets::Octets;

/// One run of one scenario.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The proxy did not serve.
    pub refused: bool,
    /// What plugins logged while they started, on one worker.
    pub start: Vec<Line>,
    /// What plugins logged afterwards, on the same worker, in order.
    pub lines: Vec<Line>,
    /// What clients saw, in the order in which responses were awaited.
    pub exchanges: Vec<Seen>,
    /// What reached upstream, in the order of the steps that it belongs to.
    pub received: Vec<Received>,
}

/// One line of a plugin's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The plugin's name.
    pub plugin: String,
    /// The level's name, as [`tidegate_host::Level::name`] gives it.
    pub level: String,
    /// The message.
    pub message: String,
}

/// What a client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// The number of the step that sent the request.
    pub step: usize,
    /// Which request it was: `GET /path`.
    pub request: String,
    /// The status, if a response began.
    pub status: Option<u16>,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// As much of the body as came.
    pub body: Octets,
    /// The trailers, in order.
    pub trailers: Vec<(String, Octets)>,
    /// The connection broke before the response was complete.
    pub broken: bool,
}

/// What upstream received.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Received {
    /// The number of the step that sent it; none where that cannot be told, as [`ledger`](crate::ledger) explains.
    pub of: Option<usize>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// The whole body.
    pub body: Octets,
    /// The trailers, in order.
    pub trailers: Vec<(String, Octets)>,
    /// It came to its end. Of one that did not, only the head is known.
    pub complete: bool,
}

/// All values of a field, in order.
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

/// As a reader follows it: what started, what was answered, what reached upstream, what was logged.
impl std::fmt::Display for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.refused {
            writeln!(f, "the proxy did not serve")?;
        }
        for line in &self.start {
            writeln!(f, "start: {line}")?;
        }
        for seen in &self.exchanges {
            let status = seen
                .status
                .map_or("no response".to_owned(), |status| status.to_string());
            let broken = if seen.broken { ", broken off" } else { "" };
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
            let of = received.of.map_or("of no known step".to_owned(), |step| {
                format!("of step {step}")
            });
            let broken = if received.complete {
                ""
            } else {
                ", broken off"
            };
            writeln!(
                f,
                "upstream, {of}: {} {}{broken} {:?} {:?}{}",
                received.method,
                received.path,
                Fields(&received.headers),
                received.body,
                Trailers(&received.trailers)
            )?;
        }
        for line in &self.lines {
            writeln!(f, "log: {line}")?;
        }
        Ok(())
    }
}

/// Behind a body, if there are any.
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
