//! `tidegate adapt`: a component becomes a Proxy-Wasm module.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tidegate_adapter::{Options, adapt};

use crate::{file, logs};

/// Turn a component into a Proxy-Wasm module for Envoy and Istio
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Adapt {
    /// The component; `-` for stdin
    #[arg(value_name = "PLUGIN.wasm")]
    plugin: PathBuf,

    /// Where the module goes; `-` for stdout
    #[arg(short, long, value_name = "OUT.wasm")]
    output: PathBuf,

    /// Leave out function names: smaller, but backtraces in the proxy's log show numbers instead
    #[arg(long)]
    strip_names: bool,

    /// Keep debug information
    #[arg(long)]
    keep_debug: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidegate adapt greeter.wasm -o greeter.proxy.wasm
  tidegate adapt greeter.wasm -o greeter.proxy.wasm --strip-names
  cat greeter.wasm | tidegate adapt - -o - > greeter.proxy.wasm

OUT.wasm appears whole or not at all.";

// === impl Adapt ===

impl Adapt {
    pub fn execute(self) -> anyhow::Result<()> {
        let component = file::read(&self.plugin)?;
        let options = Options {
            strip_names: self.strip_names,
            keep_debug: self.keep_debug,
        };
        let module =
            adapt(&component, &options).with_context(|| match file::is_stdio(&self.plugin) {
                true => "cannot adapt what came from stdin".to_owned(),
                false => format!("cannot adapt `{}`", self.plugin.display()),
            })?;
        file::write_binary(&self.output, &module)?;
        if !file::is_stdio(&self.output) {
            let (from, to) = (component.len(), module.len());
            logs::note(&format!(
                "adapted {from} bytes to {to} in `{}`",
                self.output.display()
            ));
        }
        Ok(())
    }
}
