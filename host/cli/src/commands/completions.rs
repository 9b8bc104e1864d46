//! `tidegate completions`: prints a shell completion script.

use std::path::Path;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::file;

/// Print a shell completion script
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > ~/.zfunc/_tidegate
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish

zsh searches `fpath`: add `fpath+=~/.zfunc` to `~/.zshrc`, before `compinit`.";

// === impl Completions ===

impl Completions {
    /// Writes the script for this command line.
    pub fn execute(self, mut command: Command) -> anyhow::Result<()> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        generate(self.shell, &mut command, name, &mut script);
        file::write(Path::new("-"), &script)
    }
}
