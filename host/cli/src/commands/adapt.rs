//! `tidegate adapt`: converts a component into a Proxy-Wasm module.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tidegate_adapter::{Mapping, Options, inspect};

use crate::plugin::adapt;
use crate::{file, logs};

/// Convert a component into a Proxy-Wasm module for Envoy and Istio
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Adapt {
    /// The component; `-` for stdin
    #[arg(value_name = "PLUGIN.wasm")]
    plugin: PathBuf,

    /// The module to write; `-` for stdout. Default: `PLUGIN.proxy.wasm`, beside the component
    #[arg(short, long, value_name = "OUT.wasm", required_if_eq("plugin", "-"))]
    output: Option<PathBuf>,

    /// Remove function names. This makes the module smaller, but backtraces in the proxy's log then show only function indices
    #[arg(long)]
    strip_names: bool,

    /// Keep debug information
    #[arg(long)]
    keep_debug: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidegate adapt greeter.wasm
  tidegate adapt greeter.wasm -o module.wasm --strip-names
  cat greeter.wasm | tidegate adapt - -o - > greeter.proxy.wasm

OUT.wasm is written atomically. WASI functions that proxies do not provide are listed on stderr: calls to them fail at run time.";

// === impl Adapt ===

impl Adapt {
    pub fn execute(self) -> anyhow::Result<()> {
        let component = file::read(&self.plugin)?;
        let options = Options {
            strip_names: self.strip_names,
            keep_debug: self.keep_debug,
        };
        let module = adapt(&component, &options)
            .with_context(|| format!("cannot adapt {}", file::quoted(&self.plugin)))?;
        let output = self
            .output
            .unwrap_or_else(|| self.plugin.with_extension("proxy.wasm"));
        file::write_binary(&output, &module)?;
        if !file::is_stdio(&output) {
            let (from, to) = (component.len(), module.len());
            logs::note(&format!(
                "adapted {from} bytes to {to} in `{}`",
                output.display()
            ));
        }
        note_refusals(&component);
        Ok(())
    }
}

/// Lists the WASI functions that fail or trap, and the exports that are dropped. The module works without them, so this is not an
/// error.
pub fn note_refusals(component: &[u8]) {
    let inspection = match inspect(component) {
        Ok(inspection) => inspection,
        Err(error) => {
            return logs::note(&format!(
                "cannot determine which WASI functions are unavailable: {error}"
            ));
        }
    };
    for export in &inspection.ignored {
        logs::note(&format!(
            "the export `{export}` is dropped: proxies do not call it"
        ));
    }
    for wasi in inspection.wasi {
        let becomes = match wasi.how {
            Mapping::Fails => "fails at run time",
            Mapping::Traps => "traps at run time",
            Mapping::Mapped | Mapping::AlwaysAvailable | Mapping::NotEverywhere => continue,
        };
        let function = wasi.function;
        logs::note(&format!(
            "`{function}` {becomes}: proxies do not provide it"
        ));
    }
}
