//! What an onlooker is told of streams: which callbacks were called, what each saw and changed, and what it took.
//!
//! This is for people who want to see what their plugins do. Where there is no observer, nothing of it is made. What there is
//! to tell, and when, is said in `stream`, where it has its meaning; an engine's only part in it is to count fuel.

use std::cell::RefCell;
use std::time::Duration;

pub use crate::engine::Action;
use crate::fields::Fields;
use crate::logs::Level;
pub use crate::stream::state::{Direction, FieldMap, Phase};

/// Is told what happens on streams, by all workers at once.
pub trait Observer: Send + Sync {
    /// Takes what has happened on a stream. It is called on the worker's thread, between callbacks: it should not block. `stream`
    /// is a number that no other stream of this process has.
    fn event(&self, stream: u64, event: Event);

    /// Whether fuel is to be counted. It is a measure of work that is the same on every machine, and counting it slows plugins
    /// down.
    fn wants_fuel(&self) -> bool {
        false
    }
}

/// Something that has happened on a stream.
#[derive(Clone, Debug)]
pub enum Event {
    /// The head of a request has come, before any plugin saw it.
    Begun {
        /// The worker that serves it.
        worker: usize,
        /// The request's headers.
        fields: Fields,
    },
    /// A plugin's code has run.
    Called(Box<Call>),
    /// A half that a plugin has paused, or was about to, goes on.
    Resumed {
        /// The place in the chain of the plugin that had paused it.
        place: usize,
        /// The half.
        half: Direction,
    },
    /// There is a response that is not upstream's. The plugins' response callbacks come after this.
    LocalResponse {
        /// Whose it is.
        origin: Origin,
        /// Its headers, as they begin their way through the chain.
        fields: Fields,
        /// Bytes of its body.
        body: usize,
    },
    /// Headers have gone through all plugins, and go out as they are.
    Passed {
        /// Those of the request, or of the response.
        map: FieldMap,
        /// The headers.
        fields: Fields,
    },
    /// The stream was broken off.
    Reset,
    /// The stream is over; nothing follows.
    Ended,
}

/// One run of a plugin's code on a stream.
#[derive(Clone, Debug)]
pub struct Call {
    /// The plugin's name.
    pub plugin: String,
    /// Its place in the chain, from 0 on.
    pub place: usize,
    /// What it was called for.
    pub occasion: Occasion,
    /// Whether nothing follows in this half of the stream.
    pub end: bool,
    /// The fields that the callback is about, changed or not, and others that it changed.
    pub fields: Vec<Seen>,
    /// Bytes of the body that the callback is about.
    pub body: Option<BodySize>,
    /// What the plugin wants done; or, if its instance died of it, how.
    pub outcome: Result<Action, String>,
    /// What it logged.
    pub lines: Lines,
    /// How long it took, hostcalls included.
    pub time: Duration,
    /// How much fuel it burnt: about one for each instruction. None where fuel is not counted.
    pub fuel: Option<u64>,
}

/// Why a plugin's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It makes what it keeps for a stream. Told only if it logged something, or failed.
    Open,
    /// A callback.
    Callback(Phase),
    /// It drops what it kept. Told only if it logged something, or failed.
    Close,
}

/// Fields before and after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which they are.
    pub map: FieldMap,
    /// As the plugin found them.
    pub before: Fields,
    /// As it left them.
    pub after: Fields,
}

/// Bytes of a body before and after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySize {
    /// As the plugin found it.
    pub seen: usize,
    /// As it left it.
    pub left: usize,
}

/// Who made a response that is not upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin at this place of the chain.
    Plugin(usize),
    /// The proxy, for the instance of the plugin at this place is dead.
    Failed(usize),
    /// The proxy, for upstream failed, a body became too large, or the like.
    Proxy,
}

/// What a plugin logged in one run: the first lines, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines, in order.
    pub kept: Vec<(Level, String)>,
    /// How many lines there was no room for.
    pub left_out: usize,
    bytes: usize,
}

/// What running guest code took.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    pub(crate) fuel: Option<u64>,
    pub(crate) trap: Option<String>,
    pub(crate) lines: Lines,
}

/// Where an instance's log lines are heard while its guest runs.
#[derive(Default)]
pub(crate) struct Ear(RefCell<Lines>);

/// Lines of one run that are kept, and their bytes: a guest may log for as long as its callback may take.
const MOST_LINES: usize = 1_000;
const MOST_BYTES: usize = 256 << 10;

// === impl Lines ===

impl Lines {
    fn push(&mut self, level: Level, message: &str) {
        let bytes = self.bytes.saturating_add(message.len());
        if self.kept.len() >= MOST_LINES || bytes > MOST_BYTES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        self.kept.push((level, message.to_owned()));
    }
}

// === impl Ear ===

impl Ear {
    pub(crate) fn hear(&self, level: Level, message: &str) {
        if let Ok(mut lines) = self.0.try_borrow_mut() {
            lines.push(level, message);
        }
    }

    /// What was heard since the last time.
    pub(crate) fn take(&self) -> Lines {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_count_and_bytes() {
        let mut lines = Lines::default();
        for _ in 0..MOST_LINES + 2 {
            lines.push(Level::Info, "a");
        }
        assert_eq!((lines.kept.len(), lines.left_out), (MOST_LINES, 2));
        let mut lines = Lines::default();
        lines.push(Level::Info, &"a".repeat(MOST_BYTES));
        lines.push(Level::Info, "b");
        assert_eq!((lines.kept.len(), lines.left_out), (1, 1));
    }
}
