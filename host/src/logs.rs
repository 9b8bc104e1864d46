//! Where plugins' log lines go.
//!
//! The host formats nothing and filters nothing but by [`LogSink::level`]: a sink gets the plugin's name, the worker, the level
//! and the message.

/// Takes plugins' log lines, from all workers at once.
pub trait LogSink: Send + Sync {
    /// Takes one line. It is called on the worker's thread, inside a callback: it should not block.
    fn line(&self, line: &LogLine<'_>);

    /// The least level that is kept; lines below it are not made. Plugins may ask for it.
    fn level(&self) -> Level {
        Level::Trace
    }
}

/// One line of a plugin's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The plugin's name, as deployed.
    pub plugin: &'a str,
    /// Number of the worker that the plugin's instance belongs to.
    pub worker: usize,
    /// How much it matters.
    pub level: Level,
    /// The text, without a line's end.
    pub message: &'a str,
}

/// How much a line matters, least first. The numbers are Proxy-Wasm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Steps of a computation.
    Trace = 0,
    /// For the plugin's author.
    Debug = 1,
    /// Worth knowing.
    Info = 2,
    /// Something is not as it should be.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The plugin cannot do its work.
    Critical = 5,
}

impl Level {
    /// All levels, least first.
    pub const ALL: [Level; 6] = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Critical,
    ];

    /// The level's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
