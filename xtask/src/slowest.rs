//! Runs `cargo test` and says which test programs took longest.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use xtask::shell;

/// How many are named.
const NAMED: usize = 10;

/// Runs a `cargo test` command. Cargo names each test program on standard error before it starts it.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shell::show(command);
    eprintln!("$ {shown}");
    let mut child = command
        // What cargo says is read here, and escape sequences are not.
        .env("CARGO_TERM_COLOR", "never")
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{shown}`"))?;
    let stderr = child.stderr.take().context("cargo has a standard error")?;
    let mut programs: Vec<(String, Instant)> = Vec::new();
    for line in BufReader::new(stderr).split(b'\n') {
        let mut line = line.context("failed to read what cargo says")?;
        if let Some(name) = program(&String::from_utf8_lossy(&line)) {
            programs.push((name, Instant::now()));
        }
        line.push(b'\n');
        // Somebody may have closed it.
        let _ = std::io::stderr().write_all(&line);
    }
    let status = child
        .wait()
        .with_context(|| format!("failed to wait for `{shown}`"))?;
    for (name, took) in slowest(&programs, Instant::now()) {
        shell::say(&format!("{:>6.1} s {name}", took.as_secs_f32()));
    }
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The test program that a line of cargo names: `Running tests/cases.rs (target/debug/deps/cases-0123)`.
fn program(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = line
        .strip_prefix("Running ")
        .or_else(|| line.strip_prefix("Doc-tests "))?;
    let (source, file) = rest.split_once(" (").unwrap_or((rest, rest));
    let file = file.trim_end_matches(')').rsplit(['/', '\\']).next()?;
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some(format!("{name}: {source}"))
}

/// How long each took, those that took longest first.
fn slowest(programs: &[(String, Instant)], end: Instant) -> Vec<(&str, Duration)> {
    let ends = programs.iter().skip(1).map(|(_, begun)| *begun);
    let ends = ends.chain([end]);
    let took = programs.iter().zip(ends);
    let mut took: Vec<_> = took
        .map(|((name, begun), end)| (name.as_str(), end.duration_since(*begun)))
        .collect();
    took.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    took.truncate(NAMED);
    took
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_what_cargo_says() {
        assert_eq!(
            program("     Running tests/cases.rs (target/debug/deps/cases-0b1c)").as_deref(),
            Some("cases: tests/cases.rs")
        );
        assert_eq!(
            program("   Doc-tests tidegate_host").as_deref(),
            Some("tidegate_host: tidegate_host")
        );
        assert_eq!(program("   Compiling xtask v0.1.0"), None);
    }

    #[test]
    fn the_slowest_come_first() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let programs =
            [("a", 0), ("b", 1), ("c", 4)].map(|(name, at)| (name.to_owned(), after(at)));
        let found = slowest(&programs, after(6));
        let found: Vec<_> = found
            .iter()
            .map(|(name, took)| (*name, took.as_secs()))
            .collect();
        assert_eq!(found, [("b", 3), ("c", 2), ("a", 1)]);
    }
}
