//! `tidegate man`: the help texts as man pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::roff::{Roff, roman};

use crate::{file, logs};

/// Write man pages: one for `tidegate` and one for each command
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// The directory to write to. It is created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  tidegate man -o ~/.local/share/man/man1
  tidegate man -o man && man -l man/tidegate-run.1";

// === impl Man ===

impl Man {
    /// Writes the pages of this command line.
    pub fn execute(self, command: Command) -> anyhow::Result<()> {
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot create the directory `{}`", self.output.display()))?;
        let pages = pages(command).context("cannot generate the man pages")?;
        for (name, page) in &pages {
            file::write(&self.output.join(name), page)?;
        }
        logs::note(&format!(
            "wrote {} man pages to `{}`",
            pages.len(),
            self.output.display()
        ));
        Ok(())
    }
}

/// Each page with the name of its file.
fn pages(command: Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    // This sets the full names of the subcommands.
    command.build();
    let mut pages = Vec::new();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().cloned());
        let source = concat!("tidegate ", env!("CARGO_PKG_VERSION"));
        let man = clap_mangen::Man::new(command.clone())
            .source(source)
            .manual("Tidegate");
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        examples(&command).to_writer(&mut page)?;
        pages.push((man.get_filename(), page));
    }
    Ok(pages)
}

/// The text after the options of a help text. It begins with `Examples:`; indented lines are not filled.
fn examples(command: &Command) -> Roff {
    let help = command.get_after_help().map(ToString::to_string);
    let mut roff = Roff::new();
    let mut kept = false;
    for line in help.unwrap_or_default().lines() {
        if kept != line.starts_with("  ") {
            kept = !kept;
            roff.control(if kept { "nf" } else { "fi" }, []);
        }
        match line {
            "Examples:" => roff.control("SH", ["EXAMPLES"]),
            "" => roff.control("PP", []),
            line => roff.text([roman(line)]),
        };
    }
    if kept {
        roff.control("fi", []);
    }
    roff
}
