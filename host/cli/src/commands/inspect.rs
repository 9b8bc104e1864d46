//! `tidegate inspect`: what is in a component or a module.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tidegate_adapter::inspect;
use tidegate_testkit::report::terminal;

use crate::file;
use crate::format::FormatArgs;

/// Show what a component or module contains: kind, callbacks, hostcalls, WASI functions, metadata, sizes
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// The component or module; `-` for stdin
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    #[command(flatten)]
    format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate inspect greeter.wasm
  tidegate inspect greeter.wasm --format json | jq .hostcalls
  tidegate adapt greeter.wasm -o - | tidegate inspect -";

// === impl Inspect ===

impl Inspect {
    pub fn execute(self) -> anyhow::Result<()> {
        let bytes = file::read(&self.file)?;
        let inspection = inspect(&bytes).with_context(|| match file::is_stdio(&self.file) {
            true => "cannot inspect stdin".to_owned(),
            false => format!("cannot inspect `{}`", self.file.display()),
        })?;
        let text = if self.format.is_json() {
            format!(
                "{:#}\n",
                serde_json::to_value(&inspection).context("cannot write the inspection as JSON")?
            )
        } else {
            // Names come from the file, and a terminal would obey them.
            terminal::escaped_lines(&inspection.to_string())
        };
        file::write(Path::new("-"), text.as_bytes())
    }
}
