//! `tidegate build`: builds a plugin, and prints a summary of the component.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::project::{How, Project, Which};
use crate::{account::Account, file};

/// Build the plugin in this directory and print its size, its callbacks and its capabilities
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    how: How,

    /// Also copy the component to this file
    #[arg(short, long, value_name = "FILE.wasm")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tidegate build
  tidegate build --yes -o greeter.wasm
  tidegate build --package greeter --debug
  tidegate build --tool cargo-component

The components that the two tools build behave in the same way. `cargo` needs only the Rust toolchain; cargo-component must be installed separately.";

// === impl Build ===

impl Build {
    pub fn execute(self) -> anyhow::Result<()> {
        let project = Project::find(&self.which)?;
        let built = project.build(&self.how)?;
        let account = Account::of(&built.bytes)
            .with_context(|| format!("`{}` is not a plugin", built.path.display()))?;
        if let Some(output) = &self.output {
            file::write_binary(output, &built.bytes)?;
            if file::is_stdio(output) {
                return Ok(());
            }
        }
        let path = self.output.as_deref().unwrap_or(&built.path);
        file::write(
            Path::new("-"),
            format!("{}\n{account}", path.display()).as_bytes(),
        )
    }
}
