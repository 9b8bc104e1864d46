//! `--format text|json`, which means the same in every command that prints results.

use clap::{Args, ValueEnum};

/// How results are printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct FormatArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable text
    Text,
    /// One JSON document
    Json,
}

// === impl FormatArgs ===

impl FormatArgs {
    /// Whether JSON is wanted.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }
}
