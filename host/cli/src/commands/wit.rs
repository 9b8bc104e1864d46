//! `tidegate wit`: writes the WIT package, for bindings generators.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{carried, file, logs};

/// Write the WIT package of the plugin API, from which bindings for any language can be generated
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Wit {
    /// The directory to write to. It is created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  tidegate wit -o wit
  tidegate wit -o wit && wit-bindgen c wit --world all";

// === impl Wit ===

impl Wit {
    pub fn execute(self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot create the directory `{}`", self.output.display()))?;
        let mut count = 0;
        for (name, text) in carried::contract() {
            file::write(&self.output.join(name), text.as_bytes())?;
            count += 1;
        }
        let world = tidegate_adapter::WORLD;
        logs::note(&format!(
            "wrote {world}, {count} files, to `{}`",
            self.output.display()
        ));
        Ok(())
    }
}
