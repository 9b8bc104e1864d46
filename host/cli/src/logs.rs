//! Everything that is written to stderr: log lines of plugins and of the proxy, notes, and the error with which a command fails.
//!
//! Text from plugins is not trusted, so control characters are escaped. Errors when writing to stderr are ignored: a proxy keeps
//! serving if its stderr is closed.
//!
//! On a terminal, a status line below all others shows the current activity.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;

use clap::builder::PossibleValue;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_host::{Level, LogLine, LogSink};
use tidegate_testkit::report::terminal::{escape, escaped};

use crate::output;

/// Writes log lines of plugins to stderr, with the level, the plugin and the worker.
pub struct Stderr {
    least: Least,
}

/// The minimum log level: the value of `--log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least(pub Level);

/// The error of a command that has printed its findings already. The exit code is 1, and no further message is printed.
#[derive(Debug)]
pub struct Reported;

/// The error of a command that needs a program which is not installed.
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
    /// Creates a sink for lines of this level and above. From now on, log lines of the proxy are written to stderr, too, with `--verbose`
    /// from level debug.
    pub fn install(least: Least) -> Self {
        let proxy = match least.0 {
            Level::Trace => tracing_subscriber::filter::LevelFilter::TRACE,
            Level::Debug => tracing_subscriber::filter::LevelFilter::DEBUG,
            Level::Info => tracing_subscriber::filter::LevelFilter::INFO,
            Level::Warn => tracing_subscriber::filter::LevelFilter::WARN,
            Level::Error | Level::Critical => tracing_subscriber::filter::LevelFilter::ERROR,
        };
        let proxy = match output::is_verbose() {
            true => proxy.max(tracing_subscriber::filter::LevelFilter::DEBUG),
            false => proxy,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(proxy)
            .with_writer(|| Lines)
            .with_ansi(false)
            .without_time()
            .with_target(false);
        // This fails only if a subscriber is installed already.
        let _ = subscriber.try_init();
        Self { least }
    }
}

impl LogSink for Stderr {
    fn line(&self, line: &LogLine<'_>) {
        if line.level < self.level() {
            return;
        }
        // One write for each message, so that the lines of different workers are not interleaved.
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

/// Prints an error with its causes.
pub fn complain(error: &anyhow::Error) {
    put(&format!("error: {}\n", described(error)));
}

/// Prints a note or a warning, unless `--quiet` is given.
pub fn note(line: &str) {
    if output::is_quiet() {
        return;
    }
    let mut text = String::new();
    escape(line, &mut text);
    text.push('\n');
    put(&text);
}

/// Prints a detail if `--verbose` is given, with the time since the start: `[0.012s] read `a.wasm`: 8 bytes`.
pub fn detail(text: impl FnOnce() -> String) {
    if output::is_verbose() {
        let seconds = output::elapsed().as_secs_f64();
        note(&format!("[{seconds:.3}s] {}", text()));
    }
}

/// Sets the status line, or removes it if the text is empty. It is shown only on a terminal.
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

/// The status line.
static STATUS: OnceLock<ProgressBar> = OnceLock::new();

/// Writes whole lines, above the status line.
fn put(text: &str) {
    let write = || io::stderr().lock().write_all(text.as_bytes());
    let _ = match STATUS.get() {
        Some(bar) => bar.suspend(write),
        None => write(),
    };
}

/// Writes log lines of the proxy.
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

/// An error and its causes in one line. Causes can contain text from plugins, so control characters are escaped.
fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some errors include their cause.
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
