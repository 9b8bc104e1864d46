//! What plugins log, collected from whichever thread or process it comes, so that a step can wait for a line.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::scenario::LinePattern;
use crate::transcript::Line;

/// How long a start, a stop and what reaches upstream are waited for. Only a failing scenario ever waits as long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long a response or a log line is waited for. What a plugin never does should not keep its author waiting.
pub const STEP: Duration = Duration::from_secs(30);

/// The lines of one run.
#[derive(Debug, Default)]
pub struct LogBook {
    lines: Mutex<Vec<Line>>,
    grown: Condvar,
}

impl LogBook {
    /// Writes a line down.
    pub fn push(&self, line: Line) {
        self.locked().push(line);
        self.grown.notify_all();
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.locked().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.locked().clone()
    }

    /// Waits until a line from the `from`th on is meant by `pattern`, and tells the number of the next.
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
                    "`{pattern}` was not logged within {STEP:?}; what was:\n{}",
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

/// Lines for a message, one beneath the other.
pub fn shown(lines: &[Line]) -> String {
    match lines {
        [] => "  (no line)".to_owned(),
        lines => lines
            .iter()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

impl tidegate_host::LogSink for LogBook {
    fn line(&self, line: &tidegate_host::LogLine<'_>) {
        // That a callback failed is the host's word, not the plugin's; Envoy says it outside plugins' logs, in its own words.
        if line.level == tidegate_host::Level::Critical
            && line.message.starts_with('`')
            && line.message.contains("` failed: ")
        {
            return;
        }
        self.push(Line {
            plugin: line.plugin.to_owned(),
            level: line.level.name().to_owned(),
            message: line.message.to_owned(),
        });
    }
}
