//! The options that every command has: how much is printed, and whether in color.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

/// The options.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct OutputArgs {
    /// Suppress notes, warnings and progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Also print details to stderr, such as files, digests, programs, cache hits and times
    #[arg(short, long, global = true)]
    verbose: bool,

    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// When colors are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment variable NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The options of this process, and when it started.
static CHOSEN: OnceLock<(OutputArgs, Instant)> = OnceLock::new();

// === impl OutputArgs ===

impl OutputArgs {
    /// Sets the options of this process.
    pub fn choose(self) {
        let _ = CHOSEN.set((self, Instant::now()));
    }
}

/// Whether notes, warnings and progress are suppressed.
pub fn is_quiet() -> bool {
    CHOSEN.get().is_some_and(|(it, _)| it.quiet)
}

/// Whether details are printed.
pub fn is_verbose() -> bool {
    CHOSEN.get().is_some_and(|(it, _)| it.verbose)
}

/// The time since the process started.
pub fn elapsed() -> Duration {
    CHOSEN
        .get()
        .map_or(Duration::ZERO, |(_, start)| start.elapsed())
}

/// Whether to use colors for output that goes to a terminal, or to something else.
pub fn has_color(is_terminal: bool) -> bool {
    match color() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let is_disabled = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
            is_terminal && !is_disabled
        }
    }
}

/// When colors are used.
pub fn color() -> Color {
    CHOSEN.get().map_or(Color::Auto, |(it, _)| it.color)
}

// === impl Color ===

impl Color {
    /// The name of the value, which cargo accepts too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}
