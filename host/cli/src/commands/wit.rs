//! `tidegate wit`: the contract, for other languages' tools.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{carried, file, logs};

/// Write the contract between plugins and proxies, the WIT package, for any language's tools
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Wit {
    /// The folder that the files go into; made if it is not there
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
            .with_context(|| format!("cannot make the folder `{}`", self.output.display()))?;
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
