//! The transcript: printed to the terminal, and written as a page of Markdown that docs/ can quote.

use std::path::PathBuf;

use anyhow::Result;

use super::parts;

/// A transcript, which is written to its file after each step.
pub struct Transcript {
    path: PathBuf,
    page: String,
    /// Whether a code block is open.
    console: bool,
}

// === impl Transcript ===

impl Transcript {
    /// Creates an empty page.
    pub fn begin(path: PathBuf) -> Transcript {
        Transcript {
            path,
            page: "# The tutorial on a real mesh\n\nWritten by `cargo xtask e2e mesh`.\n"
                .to_owned(),
            console: false,
        }
    }

    /// Adds a heading.
    pub fn step(&mut self, number: usize, title: &str) -> Result<()> {
        self.close();
        println!("\n=== {number}. {title}");
        self.page.push_str(&format!("\n## {number}. {title}\n"));
        self.write()
    }

    /// Adds lines of terminal output.
    pub fn console(&mut self, text: &str) -> Result<()> {
        if !self.console {
            self.page.push_str("\n```console\n");
            self.console = true;
        }
        let text = text.trim_end();
        println!("{text}");
        self.page.push_str(text);
        self.page.push('\n');
        self.write()
    }

    /// Completes the page and returns it.
    pub fn end(mut self) -> Result<String> {
        self.close();
        self.write()?;
        Ok(self.page)
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.console) {
            self.page.push_str("```\n");
        }
    }

    fn write(&self) -> Result<()> {
        parts::write(&self.path, &self.page)
    }
}
