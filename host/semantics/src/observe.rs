//! Observation of plugins: which callbacks were called, what each of them saw and changed, and its cost.
//!
//! This module is for users who want to see what their plugins do. Without an observer, no events are created. `stream`
//! generates the events of streams, together with the semantics that they describe. `vm` generates those of plugins, and
//! reports the outcomes of HTTP calls. Engines only count fuel.

use std::cell::RefCell;
use std::time::Duration;

use crate::fields::Fields;
use crate::logs::Level;
pub use crate::vocabulary::{Action, Direction, FieldMap, Phase};

/// Receives the events of streams and plugins. It is called concurrently by all workers.
pub trait Observer: Send + Sync {
    /// Receives an event of a stream. This function is called on the worker's thread, between callbacks, and should not
    /// block. `stream` is a number that is unique within this process.
    fn event(&self, stream: u64, event: Event);

    /// Receives an event of a plugin that belongs to no stream. Like `event`, this function is called on the worker's thread,
    /// between callbacks, and should not block.
    fn plugin_event(&self, _event: PluginEvent) {}

    /// Returns whether to count fuel. Fuel measures the amount of work independently of the machine. Counting it slows
    /// plugins down.
    fn wants_fuel(&self) -> bool {
        false
    }
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request head was received. No plugin has seen it yet.
    Begun {
        /// The worker that serves the request.
        worker: usize,
        /// The request headers.
        fields: Fields,
    },
    /// A plugin's code has run.
    Called(Box<Call>),
    /// A direction of the stream that a plugin had paused, or was about to pause, was resumed.
    Resumed {
        /// The position in the chain of the plugin that had paused it.
        position: usize,
        /// The direction.
        direction: Direction,
    },
    /// A response was generated that does not come from the upstream. If it passes the response callbacks, they run
    /// after this event.
    LocalResponse {
        /// The origin of the response.
        origin: Origin,
        /// Its headers, before they pass through the chain.
        fields: Fields,
        /// The size of its body in bytes.
        body: usize,
    },
    /// Headers have passed all plugins and are sent unchanged from here.
    Passed {
        /// Whether these are request or response headers.
        map: FieldMap,
        /// The headers.
        fields: Fields,
    },
    /// The stream was reset.
    Reset,
    /// The stream has ended. No further events follow.
    Ended,
}

/// One execution of a plugin's code on a stream.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name of the plugin.
    pub plugin: String,
    /// Its zero-based position in the chain.
    pub position: usize,
    /// The reason for the execution.
    pub occasion: Occasion,
    /// Whether this is the end of the stream in this direction.
    pub end: bool,
    /// The fields that the callback is for, whether changed or not, and other fields that it changed.
    pub fields: Vec<ObservedFields>,
    /// The size of the body that the callback is for.
    pub body: Option<BodySize>,
    /// The action that the plugin returned, or the error message if its instance failed. If the plugin returns no action, it
    /// is `Continue`.
    pub outcome: Result<Action, String>,
    /// The log lines that the plugin wrote.
    pub lines: Lines,
    /// The elapsed time, including hostcalls.
    pub time: Duration,
    /// The consumed fuel, about one unit for each instruction. `None` if fuel is not counted.
    pub fuel: Option<u64>,
}

/// The reason for an execution of a plugin's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The plugin creates its per-stream state. Reported only if it logged something or failed.
    Open,
    /// A callback for a phase.
    Callback(Phase),
    /// An HTTP call that was sent for the stream has ended.
    HttpCallResponse(EndedCall),
    /// The plugin drops its per-stream state. Reported only if it logged something or failed.
    Close,
}

/// One execution of a plugin's code that belongs to no stream.
#[derive(Clone, Debug)]
pub struct PluginEvent {
    /// The name of the plugin.
    pub plugin: String,
    /// The worker whose instance of the plugin ran.
    pub worker: usize,
    /// The reason for the execution.
    pub occasion: PluginOccasion,
    /// The error message if the instance failed.
    pub trap: Option<String>,
    /// The log lines that the plugin wrote.
    pub lines: Lines,
    /// The elapsed time, including hostcalls.
    pub time: Duration,
    /// The consumed fuel, about one unit for each instruction. `None` if fuel is not counted, or if the instance could not be created.
    pub fuel: Option<u64>,
}

/// The reason for an execution of a plugin's code that belongs to no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginOccasion {
    /// The instance starts, for its first plugin, or the plugin is configured. Reported only if it logged something or failed.
    Start,
    /// A period of the plugin's timer has passed.
    Tick,
    /// A value has been added to a queue that the plugin has registered.
    QueueReady {
        /// The ID of the queue.
        queue: u32,
    },
    /// An HTTP call that was sent for the plugin has ended.
    HttpCallResponse(EndedCall),
    /// The plugin is asked whether it is done. Reported only if it logged something or failed.
    Done,
    /// The plugin context is dropped. Reported only if it logged something or failed.
    End,
}

/// An HTTP call of a plugin that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedCall {
    /// The number of the call.
    pub id: u32,
    /// The status of the response. `None` if the call was reset.
    pub status: Option<u16>,
}

/// Fields before and after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedFields {
    /// The kind of fields.
    pub map: FieldMap,
    /// The fields before the callback.
    pub before: Fields,
    /// The fields after the callback.
    pub after: Fields,
}

/// The size of a body before and after a callback, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySize {
    /// The size before the callback.
    pub seen: usize,
    /// The size after the callback.
    pub left: usize,
}

/// The origin of a response that does not come from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin at this position in the chain.
    Plugin(usize),
    /// The proxy, because the instance of the plugin at this position has failed.
    Failed(usize),
    /// The proxy, because of an upstream failure, a body that exceeds the buffer limit, or a similar condition.
    Proxy,
}

/// The log lines of one execution: the first lines and the number of omitted ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines, in order.
    pub kept: Vec<(Level, String)>,
    /// The number of lines that were omitted because of the size limit.
    pub left_out: usize,
    bytes: usize,
}

/// The cost of running guest code, and what it logged.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Measured {
    #[doc(hidden)]
    pub time: Duration,
    #[doc(hidden)]
    pub fuel: Option<u64>,
    #[doc(hidden)]
    pub trap: Option<String>,
    #[doc(hidden)]
    pub lines: Lines,
}

/// Records the log lines of an instance while its guest runs.
#[derive(Default)]
#[doc(hidden)]
pub struct LineRecorder(RefCell<Lines>);

/// The field maps of a stream, by [`FieldMap::index`].
type Maps = [Option<Fields>; 4];

/// The maximum number of lines recorded for one execution, and their maximum total size in bytes. A guest can log until
/// its deadline expires.
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

// === impl Measured ===

impl Measured {
    /// Returns whether the code has neither logged anything nor failed.
    #[doc(hidden)]
    pub fn is_silent(&self) -> bool {
        self.trap.is_none() && self.lines.kept.is_empty() && self.lines.left_out == 0
    }
}

// === impl LineRecorder ===

impl LineRecorder {
    #[doc(hidden)]
    pub fn record(&self, level: Level, message: &str) {
        if let Ok(mut lines) = self.0.try_borrow_mut() {
            lines.push(level, message);
        }
    }

    /// Returns the lines recorded since the last call.
    #[doc(hidden)]
    pub fn take(&self) -> Lines {
        self.0.take()
    }
}

/// Returns the fields that differ before and after a callback. The fields of `own`, which the callback is for, come first, whether changed
/// or not.
#[doc(hidden)]
pub fn compare_maps(before: Maps, after: &Maps, own: Option<FieldMap>) -> Vec<ObservedFields> {
    let mut fields = Vec::new();
    for ((map, before), after) in FieldMap::ALL.into_iter().zip(before).zip(after) {
        let (Some(before), Some(after)) = (before, after.as_ref()) else {
            continue;
        };
        if own == Some(map) || before != *after {
            let after = after.clone();
            let seen = ObservedFields { map, before, after };
            let at = if own == Some(map) { 0 } else { fields.len() };
            fields.insert(at, seen);
        }
    }
    fields
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
