//! Runs `cargo test`, and lists the slowest test programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use xtask::shell;

/// The number of programs that are listed.
const NAMED: usize = 10;

/// A test program with its duration.
type Program = (String, Duration);

/// Runs several `cargo test` commands. Fails if one of them fails.
pub fn run(commands: Vec<Command>) -> Result<()> {
    let mut programs = Vec::new();
    let mut failed = Vec::new();
    for mut command in commands {
        if let Err(error) = run_one(&mut command, &mut programs) {
            failed.push(error.to_string());
        }
    }
    for (name, took) in slowest(programs) {
        shell::say(&format!("{:>6.1} s {name}", took.as_secs_f32()));
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// Cargo prints the name of each test program on standard error before it starts it.
fn run_one(command: &mut Command, programs: &mut Vec<Program>) -> Result<()> {
    let shown = shell::show(command);
    eprintln!("$ {shown}");
    let mut child = command
        // The output of cargo is parsed here, so it must not contain escape sequences.
        .env("CARGO_TERM_COLOR", "never")
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{shown}`"))?;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    let mut running: Option<(String, Instant)> = None;
    for line in BufReader::new(stderr).split(b'\n') {
        let mut line = line.context("failed to read cargo's output")?;
        if let Some(name) = program(&String::from_utf8_lossy(&line)) {
            let begun = (name, Instant::now());
            programs.extend(running.replace(begun).map(ended));
        }
        line.push(b'\n');
        // Standard error may be closed.
        let _ = std::io::stderr().write_all(&line);
    }
    let status = child
        .wait()
        .with_context(|| format!("failed to wait for `{shown}`"))?;
    programs.extend(running.map(ended));
    ensure!(status.success(), "`{shown}` ended with {status}");
    Ok(())
}

fn ended((name, begun): (String, Instant)) -> Program {
    (name, begun.elapsed())
}

/// Parses the test program in a line of cargo's output: `Running tests/cases.rs (target/debug/deps/cases-0123)`.
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

/// Returns the slowest programs.
fn slowest(mut programs: Vec<Program>) -> Vec<Program> {
    programs.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    programs.truncate(NAMED);
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_parsed_from_cargo_output() {
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
    fn slowest_programs_come_first() {
        let programs = (0..20).map(|at| (at.to_string(), Duration::from_secs(at % 15)));
        let found = slowest(programs.collect());
        assert_eq!(found.len(), NAMED);
        assert_eq!(found[0], ("14".to_owned(), Duration::from_secs(14)));
        assert!(found.is_sorted_by(|one, next| one.1 >= next.1));
    }
}
