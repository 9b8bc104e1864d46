//! [`LogLine`]: what a plugin has logged.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use tidegate_semantics::logs;

use crate::log::Level;

/// A line that a plugin has logged. It equals a string of its level and its message, such as `"info hello"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: String,
}

/// Keeps the lines of a plugin's log.
pub(super) struct LogBook {
    level: logs::Level,
    lines: Mutex<Vec<LogLine>>,
}

// === impl LogLine ===

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", logs::Level::from(self.level), self.message)
    }
}

impl PartialEq<&str> for LogLine {
    fn eq(&self, other: &&str) -> bool {
        let message = other.strip_prefix(logs::Level::from(self.level).name());
        message.and_then(|it| it.strip_prefix(' ')) == Some(&*self.message)
    }
}

// === impl LogBook ===

impl LogBook {
    pub(super) fn new(level: Level) -> Self {
        LogBook {
            level: level.into(),
            lines: Mutex::default(),
        }
    }

    /// Returns the lines since the last time.
    pub(super) fn take(&self) -> Vec<LogLine> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines)
    }
}

impl logs::LogSink for LogBook {
    fn line(&self, line: &logs::LogLine<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(LogLine {
            level: line.level.into(),
            message: line.message.to_owned(),
        });
    }

    fn level(&self) -> logs::Level {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_equals_its_level_and_message() {
        let line = LogLine {
            level: Level::Info,
            message: "hello world".to_owned(),
        };
        assert_eq!(line.to_string(), "info hello world");
        assert_eq!(line, "info hello world");
        for other in ["info hello", "warn hello world", "infohello world", ""] {
            assert_ne!(line, other);
        }
    }
}
