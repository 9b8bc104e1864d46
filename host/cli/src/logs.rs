//! What goes to stderr: plugins' log lines, the proxy's own, and the error that ends a command.
//!
//! A plugin's text is not trusted: control characters are shown, not sent to the terminal. A stderr that nobody reads any more
//! is no reason to stop serving, so failures to write are ignored.
//!
//! On a terminal there may be one line more, below all others: what the command is at.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;

use clap::builder::PossibleValue;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_host::{Level, LogLine, LogSink};
use tidegate_testkit::report::terminal::{escape, escaped};

use crate::output;

/// Writes plugins' lines to stderr, with plugin, worker and level.
pub struct Stderr {
    least: Least,
}

/// The least level that is shown, as `--log-level` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least(pub Level);

/// Why a command ends with 1 although it has done all it was asked for: what it printed says what is wrong.
#[derive(Debug)]
pub struct Reported;

/// Why a command cannot do its work on this machine: a program that it needs is not there.
#[derive(Debug)]
pub struct Unavailable(pub String);

// === impl Unavailable ===

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

// === impl Reported ===

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are findings")
    }
}

impl std::error::Error for Reported {}

// === impl Stderr ===

impl Stderr {
    /// A sink that keeps lines of this level and above. The proxy's own lines go the same way from now on.
    pub fn install(least: Least) -> Self {
        let proxy = match least.0 {
            Level::Trace => tracing_subscriber::filter::LevelFilter::TRACE,
            Level::Debug => tracing_subscriber::filter::LevelFilter::DEBUG,
            Level::Info => tracing_subscriber::filter::LevelFilter::INFO,
            Level::Warn => tracing_subscriber::filter::LevelFilter::WARN,
            Level::Error | Level::Critical => tracing_subscriber::filter::LevelFilter::ERROR,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(proxy)
            .with_writer(|| Lines)
            .with_ansi(false)
            .without_time()
            .with_target(false);
        // Only the first can be installed, and this is called once.
        let _ = subscriber.try_init();
        Self { least }
    }
}

impl LogSink for Stderr {
    fn line(&self, line: &LogLine<'_>) {
        if line.level < self.level() {
            return;
        }
        // One write for each line, so that workers' lines do not mix.
        let mut text = String::with_capacity(line.message.len() + 32);
        for part in line.message.split('\n') {
            let _ = write!(text, "{:>8} {}#{}: ", line.level, line.plugin, line.worker);
            escape(part.trim_end_matches('\r'), &mut text);
            text.push('\n');
        }
        put(&text);
    }

    fn level(&self) -> Level {
        self.least.0
    }
}

/// Says why a command failed, with what caused it.
pub fn complain(error: &anyhow::Error) {
    put(&format!("error: {}\n", described(error)));
}

/// Prints a message to standard error, for commands that write their result elsewhere.
pub fn note(line: &str) {
    if output::is_quiet() {
        return;
    }
    let mut text = String::new();
    escape(line, &mut text);
    text.push('\n');
    put(&text);
}

/// Prints a detail if `--verbose` is given.
pub fn detail(line: &str) {
    if output::is_verbose() {
        note(line);
    }
}

/// Says on a terminal what goes on, until something else does; nothing if the text is empty. Elsewhere it is not shown.
pub fn status(text: &str) {
    if output::is_quiet() {
        return;
    }
    let bar = STATUS.get_or_init(|| {
        let style = ProgressStyle::with_template("> {msg}");
        ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    });
    if text.is_empty() {
        bar.finish_and_clear();
    } else {
        bar.set_message(escaped(text));
        bar.reset();
    }
}

/// The line below all others.
static STATUS: OnceLock<ProgressBar> = OnceLock::new();

/// Writes whole lines, above the status.
fn put(text: &str) {
    let write = || io::stderr().lock().write_all(text.as_bytes());
    let _ = match STATUS.get() {
        Some(bar) => bar.suspend(write),
        None => write(),
    };
}

/// The proxy's own lines.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        put(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error and its causes in one line. Some causes are in a plugin's own words, or name what its file says.
fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some errors say their cause themselves.
        if last.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        escape(&cause, &mut text);
        last = cause;
    }
    text
}

// === impl Least ===

impl clap::ValueEnum for Least {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Least; 6] = [
            Least(Level::Trace),
            Least(Level::Debug),
            Least(Level::Info),
            Least(Level::Warn),
            Least(Level::Error),
            Least(Level::Critical),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_line_without_control_characters() {
        let error = anyhow::anyhow!("refused: \u{1b}[2Jgone\nerror: none")
            .context("plugin `\u{9b}31mred` failed");
        assert_eq!(
            described(&error),
            "plugin `\\u{9b}31mred` failed: refused: \\u{1b}[2Jgone\\nerror: none"
        );
    }

    #[test]
    fn error_does_not_repeat_its_cause() {
        let error = anyhow::anyhow!("cause\n").context("failed: cause\n");
        assert_eq!(described(&error), "failed: cause\\n");
    }
}
