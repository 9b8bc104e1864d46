//! Compares the output that docs/ quotes with the transcript.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::parts::WITHOUT_CARGO_COMPONENT;
use xtask::shell;
use xtask::workspace::Workspace;

/// The page whose `console` blocks are compared.
const PAGE: &str = "docs/tutorial.md";

/// Returns an error if the page contains output that the transcript does not contain. If the plugins were built without cargo-component,
/// nothing is compared, because their sizes differ. Digests are not compared, because they change with every version of a plugin. Long
/// commands may be split over several lines.
pub fn check(workspace: &Workspace, transcript: &str) -> Result<()> {
    let path = workspace.root.join(PAGE);
    let page =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    if transcript.contains(WITHOUT_CARGO_COMPONENT) {
        shell::say(&format!(
            "SKIPPED: {PAGE} contains output for components that were built with cargo-component, which is not installed; run `cargo xtask setup`"
        ));
        return Ok(());
    }
    let told = plain(transcript);
    let quotes = quotes(&page);
    ensure!(!quotes.is_empty(), "{PAGE} has no `console` blocks");
    for quote in quotes {
        ensure!(
            told.contains(&plain(quote)),
            "{PAGE} contains output that is not in target/mesh/transcript.md:\n{quote}"
        );
    }
    Ok(())
}

/// Returns the contents of the page's `console` blocks.
fn quotes(page: &str) -> Vec<&str> {
    let blocks = page.split("```console\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// Normalizes a text: joins continued lines, collapses repeated spaces, and shortens digests.
fn plain(text: &str) -> String {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| {
        let words = line.split_whitespace().map(shortened);
        words.collect::<Vec<_>>().join(" ")
    });
    lines.map(|line| line + "\n").collect()
}

/// Shortens the digest in a word, if there is one.
fn shortened(word: &str) -> String {
    const DIGITS: usize = 64;
    let mut short = String::new();
    let mut run = String::new();
    for char in word.chars().map(Some).chain([None]) {
        match char {
            Some(digit @ ('0'..='9' | 'a'..='f')) => run.push(digit),
            other => {
                short.push_str(if run.len() == DIGITS { "…" } else { &run });
                run.clear();
                short.extend(other);
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_compared_ignoring_digests_and_line_breaks() {
        let digest = "0123456789abcdef".repeat(4);
        let told = format!("$ push --url a@sha256:{digest} --name b\n   done: 0af\n");
        let page = "text\n```console\n$ push \\\n    --url a@sha256:… --name b\ndone:  0af\n```\n";
        let quotes = quotes(page);
        assert_eq!(quotes.len(), 1);
        assert!(plain(&told).contains(&plain(quotes[0])));
        assert!(!plain(&told).contains(&plain("done: 0a\n")));
    }
}
