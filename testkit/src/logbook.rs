//! Collects the log output of plugins from any thread or process, so that a step can wait for a line.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::scenario::LinePattern;
use crate::transcript::Line;

/// The timeout for startup, shutdown and requests arriving at the upstream. Only a failing scenario waits this long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The timeout for a response or a log line. It is shorter, so that authors do not wait long for something that a
/// plugin never does.
pub const STEP: Duration = Duration::from_secs(30);

/// The log lines of one run.
#[derive(Debug, Default)]
pub struct LogBook {
    lines: Mutex<Vec<Line>>,
    /// What the proxy reports about plugins.
    mistakes: Mutex<Vec<Line>>,
    grown: Condvar,
}

impl LogBook {
    /// Appends a line.
    pub fn push(&self, line: Line) {
        self.locked().push(line);
        self.grown.notify_all();
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.locked().len()
    }

    /// Returns whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all lines recorded so far.
    pub fn lines(&self) -> Vec<Line> {
        self.locked().clone()
    }

    /// Returns the mistakes of plugins that the proxy has reported.
    pub fn mistakes(&self) -> Vec<Line> {
        let mistakes = self.mistakes.lock();
        mistakes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a line with number `from` or higher matches `pattern`. Returns the number of the line after it.
    pub fn wait_for(&self, pattern: &LinePattern, from: usize) -> Result<usize> {
        let deadline = Instant::now() + STEP;
        let mut lines = self.locked();
        loop {
            let meant = |line: &Line| pattern.matches(&line.plugin, &line.level, &line.message);
            if let Some(found) = lines.iter().skip(from).position(meant) {
                return Ok(from + found + 1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "`{pattern}` was not logged within {STEP:?}; plugins logged:\n{}",
                    shown(&lines)
                );
            }
            lines = self
                .grown
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats lines for an error message, one below the other.
pub fn shown(lines: &[Line]) -> String {
    match lines {
        [] => "  (nothing)".to_owned(),
        lines => lines
            .iter()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

impl tidegate_host::LogSink for LogBook {
    fn line(&self, line: &tidegate_host::LogLine<'_>) {
        // Failed callbacks are reported by the host. Envoy reports them in its own words, outside of plugins' logs.
        if line.level == tidegate_host::Level::Critical
            && line.message.starts_with('`')
            && line.message.contains("` failed: ")
        {
            return;
        }
        self.push(copied(line));
    }

    fn mistake(&self, line: &tidegate_host::LogLine<'_>) {
        let mistakes = self.mistakes.lock();
        mistakes
            .unwrap_or_else(PoisonError::into_inner)
            .push(copied(line));
    }
}

fn copied(line: &tidegate_host::LogLine<'_>) -> Line {
    Line {
        plugin: line.plugin.to_owned(),
        level: line.level.name().to_owned(),
        message: line.message.to_owned(),
    }
}
