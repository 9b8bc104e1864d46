//! `tidegate inspect`: shows the contents of a component or a module.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use tidegate_adapter::{Inspection, inspect};
use tidegate_testkit::report::terminal;

use crate::format::FormatArgs;
use crate::place::Place;
use crate::plugin::{description, unsupported};
use crate::{file, logs};

/// Show what a component or module contains: kind, callbacks, hostcalls, WASI functions, metadata, sizes
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// The component or module: a file, `-` for stdin, or an `oci://` reference
    #[arg(value_name = "PLUGIN")]
    plugin: Place,

    #[command(flatten)]
    format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate inspect greeter.wasm
  tidegate inspect greeter.wasm --format json | jq .hostcalls
  tidegate inspect oci://127.0.0.1:5000/greeter:1.0.0
  tidegate adapt greeter.wasm -o - | tidegate inspect -";

// === impl Inspect ===

impl Inspect {
    pub fn execute(self) -> anyhow::Result<()> {
        let bytes = self.plugin.fetch()?.bytes;
        logs::detail(|| format!("`{}`: {}", self.plugin, description(&bytes)));
        let inspection = inspect(&bytes).with_context(|| match &self.plugin {
            Place::File(path) => format!("cannot inspect {}", file::quoted(path)),
            Place::Image(reference) => format!("cannot inspect `{reference}`"),
        })?;
        let unsupported: Vec<String> = unsupported(&inspection.hostcalls)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let text = if self.format.is_json() {
            let mut value =
                serde_json::to_value(&inspection).context("cannot write the inspection as JSON")?;
            if let Value::Object(members) = &mut value {
                members.insert("unsupported".to_owned(), json!(unsupported));
            }
            format!("{value:#}\n")
        } else {
            let mut text = harmless(inspection).to_string();
            for name in unsupported {
                let _ = writeln!(
                    text,
                    "unsupported {name} (not implemented by `tidegate run`)"
                );
            }
            // Names come from the file, and a terminal would interpret control characters in them.
            terminal::escaped_lines(&text)
        };
        file::write(Path::new("-"), text.as_bytes())
    }
}

/// Escapes control characters. A name that contains a line break could imitate a line of the output.
fn harmless(mut inspection: Inspection) -> Inspection {
    let texts = [
        &mut inspection.world,
        &mut inspection.abi,
        &mut inspection.name,
        &mut inspection.version,
        &mut inspection.rejection,
    ];
    let lists = [
        &mut inspection.callbacks,
        &mut inspection.ignored,
        &mut inspection.hostcalls,
    ];
    let wasi = inspection.wasi.iter_mut().map(|it| &mut it.function);
    let all = texts.into_iter().flatten();
    for text in all.chain(lists.into_iter().flatten()).chain(wasi) {
        *text = terminal::escaped(text);
    }
    inspection
}
