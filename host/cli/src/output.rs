//! How much is printed, and whether in colours: the options that every command has.

use std::sync::OnceLock;

use clap::{Args, ValueEnum};

/// The options.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct OutputArgs {
    /// Suppress notes, warnings and progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Also print the build command and each registry that is contacted
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

/// What this process was told.
static CHOSEN: OnceLock<OutputArgs> = OnceLock::new();

// === impl OutputArgs ===

impl OutputArgs {
    /// Makes it the choice of this process.
    pub fn choose(self) {
        let _ = CHOSEN.set(self);
    }
}

/// Whether notes, warnings and progress are unwanted.
pub fn is_quiet() -> bool {
    CHOSEN.get().is_some_and(|it| it.quiet)
}

/// Whether details are wanted.
pub fn is_verbose() -> bool {
    CHOSEN.get().is_some_and(|it| it.verbose)
}

/// Whether to use colors on something that is a terminal or not.
pub fn has_color(is_terminal: bool) -> bool {
    match color() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
            is_terminal && !is_unwanted
        }
    }
}

/// When colors are used, in the word that cargo takes too.
pub fn color() -> Color {
    CHOSEN.get().map_or(Color::Auto, |it| it.color)
}

// === impl Color ===

impl Color {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}
