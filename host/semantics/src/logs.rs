//! Sinks for the log output of plugins.
//!
//! The host does not format log lines and filters them only by [`LogSink::level`]. A sink receives the plugin's name,
//! the worker, the level and the message.

/// A destination for plugin log lines. It is called concurrently by all workers.
pub trait LogSink: Send + Sync {
    /// Receives one line. This function is called on the worker's thread, inside a callback, and should not block.
    fn line(&self, line: &LogLine<'_>);

    /// Receives a line that the proxy writes about a mistake of a plugin which callbacks and responses do not show, such as a
    /// body that does not have the announced size. By default, it is handled like a line of the plugin.
    fn mistake(&self, line: &LogLine<'_>) {
        self.line(line);
    }

    /// Returns the minimum level. Lines below it are discarded before they are created. Plugins can query it.
    fn level(&self) -> Level {
        Level::Trace
    }
}

/// One line of a plugin's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The name of the plugin, as deployed.
    pub plugin: &'a str,
    /// The number of the worker that runs the plugin instance.
    pub worker: usize,
    /// The log level.
    pub level: Level,
    /// The message, without a line terminator.
    pub message: &'a str,
}

/// The log level, in increasing order of severity. The numeric values are those of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Steps of a computation.
    Trace = 0,
    /// Information for the plugin's author.
    Debug = 1,
    /// Noteworthy information.
    Info = 2,
    /// An unexpected condition.
    Warn = 3,
    /// An error.
    Error = 4,
    /// The plugin cannot do its work.
    Critical = 5,
}

impl Level {
    /// All levels, in increasing order of severity.
    pub const ALL: [Level; 6] = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Critical,
    ];

    /// Returns the name of the level in lowercase.
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
