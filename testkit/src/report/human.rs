//! A report for people: one line for each test as it finishes, then all failures with the expected and the actual
//! values.

use std::fmt::Write as _;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::terminal::{escape, escaped, escaped_lines};
use super::{Finding, Outcome};
use crate::source::Location;

/// Whether to use colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub bool);

/// Formats one line with the result, the name and the elapsed time of a test.
pub fn line(outcome: &Outcome, colour: Colour) -> String {
    let (word, code, more) = match &outcome.result {
        Finding::Passed => ("ok", 32, String::new()),
        Finding::Skipped { reason } => ("skip", 33, format!(": {}", escaped(reason))),
        Finding::Failed { .. } | Finding::Differs { .. } | Finding::Error { .. } => {
            ("FAIL", 31, String::new())
        }
    };
    format!(
        "{}  {}  {}  {}{more}",
        colour.paint(&format!("{word:<4}"), code),
        escaped(&outcome.scenario),
        outcome.runtime,
        shown(outcome.took)
    )
}

/// Formats all failures in order, each with the expected and the actual value.
pub fn failures(outcomes: &[Outcome], colour: Colour) -> String {
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.is_failure()) {
        let _ = writeln!(
            text,
            "\n--- {}  {}",
            escaped(&outcome.scenario),
            outcome.runtime
        );
        failure(&mut text, outcome, colour);
    }
    text
}

fn failure(text: &mut String, outcome: &Outcome, colour: Colour) {
    let file = outcome.file.display();
    match &outcome.result {
        Finding::Passed | Finding::Skipped { .. } => {}
        Finding::Error { error } => text.push_str(&format!("{}\n", escaped_lines(error))),
        Finding::Differs { differences } => {
            let _ = writeln!(text, "{file}: the runtimes behave differently");
            for difference in differences {
                let _ = writeln!(text, "  {}", escaped(difference));
            }
        }
        Finding::Failed {
            mismatches,
            transcript,
        } => {
            for (at, mismatch) in mismatches {
                let location = Location::new(file.to_string(), *at);
                let _ = writeln!(
                    text,
                    "{location}: {}: {}",
                    escaped(&mismatch.of),
                    escaped(&mismatch.what)
                );
                sides(text, &mismatch.expected, &mismatch.seen, colour);
            }
            text.push_str("actual:\n");
            for line in transcript.lines() {
                text.push_str("  ");
                escape(line, text);
                text.push('\n');
            }
        }
    }
}

/// Shows two short texts one below the other, and long ones as a line diff.
fn sides(text: &mut String, expected: &str, seen: &str, colour: Colour) {
    if !expected.contains('\n') && !seen.contains('\n') {
        let _ = writeln!(
            text,
            "  {} {}",
            colour.paint("expected", 32),
            escaped(expected)
        );
        let _ = writeln!(text, "  {}      {}", colour.paint("got", 31), escaped(seen));
        return;
    }
    let _ = writeln!(
        text,
        "  {}, {}",
        colour.paint("- expected", 32),
        colour.paint("+ got", 31)
    );
    for change in TextDiff::from_lines(expected, seen).iter_all_changes() {
        let (sign, code) = match change.tag() {
            ChangeTag::Delete => ("-", 32),
            ChangeTag::Insert => ("+", 31),
            ChangeTag::Equal => (" ", 0),
        };
        let line = format!("{sign} {}", escaped(change.value().trim_end_matches('\n')));
        let _ = writeln!(text, "  {}", colour.paint(&line, code));
    }
}

/// Formats the number of tests for each kind of result.
pub fn summary(outcomes: &[Outcome], took: Duration) -> String {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let failed = count(Outcome::is_failure);
    let skipped = count(|outcome| matches!(outcome.result, Finding::Skipped { .. }));
    let passed = outcomes.len() - failed - skipped;
    format!(
        "{passed} passed, {failed} failed, {skipped} skipped, {}",
        shown(took)
    )
}

fn shown(took: Duration) -> String {
    match took.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

// === impl Colour ===

impl Colour {
    fn paint(self, text: &str, code: u8) -> String {
        match (self.0, code) {
            (true, 1..) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}
