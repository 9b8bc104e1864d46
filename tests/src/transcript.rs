//! Everything that was seen while a scenario ran in one home.
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
    /// What reached upstream, in order.
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
    /// Which request it was: `GET /path`.
    pub request: String,
    /// The status, if a response began.
    pub status: Option<u16>,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// As much of the body as came.
    pub body: Octets,
    /// The connection broke before the response was complete.
    pub broken: bool,
}

/// What upstream received.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, in order.
    pub headers: Vec<(String, Octets)>,
    /// The whole body.
    pub body: Octets,
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
                "{} -> {status}{broken} {:?} {:?}",
                seen.request,
                Fields(&seen.headers),
                seen.body
            )?;
        }
        for received in &self.received {
            let Received {
                method,
                path,
                headers,
                body,
            } = received;
            writeln!(
                f,
                "upstream: {method} {path} {:?} {body:?}",
                Fields(headers)
            )?;
        }
        for line in &self.lines {
            writeln!(f, "log: {line}")?;
        }
        Ok(())
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
