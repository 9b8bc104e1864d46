//! `--format text|json`, which has the same meaning in every command that prints results.

use clap::{Args, ValueEnum};

/// The format of results.
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
    /// Whether the format is JSON.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }
}
