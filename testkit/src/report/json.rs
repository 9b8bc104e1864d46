//! A machine-readable report: one JSON object with an entry for each test.

use serde_json::{Value, json};

use super::{Finding, Outcome};

/// Returns `{"tests": [{"scenario", "file", "runtime", "seconds", "result", …}]}`, in the order of the scenarios.
pub fn text(outcomes: &[Outcome]) -> anyhow::Result<String> {
    let tests: Vec<Value> = outcomes.iter().map(test).collect();
    Ok(format!("{:#}\n", json!({ "tests": tests })))
}

fn test(outcome: &Outcome) -> Value {
    let mut test = json!({
        "scenario": outcome.scenario,
        "file": outcome.file.to_string_lossy(),
        "runtime": outcome.runtime,
        "seconds": outcome.took.as_secs_f64(),
    });
    let (result, more) = match &outcome.result {
        Finding::Passed => ("passed", json!({})),
        Finding::Skipped { reason } => ("skipped", json!({ "reason": reason })),
        Finding::Failed {
            mismatches,
            transcript,
        } => {
            let mismatches: Vec<Value> = mismatches
                .iter()
                .map(|(at, mismatch)| {
                    json!({
                        "line": at.map(|at| at.line),
                        "column": at.map(|at| at.column),
                        "field": mismatch.place.to_string(),
                        "of": mismatch.of,
                        "what": mismatch.what,
                        "expected": mismatch.expected,
                        "actual": mismatch.seen,
                    })
                })
                .collect();
            (
                "failed",
                json!({ "mismatches": mismatches, "transcript": transcript }),
            )
        }
        Finding::Differs { differences } => ("failed", json!({ "differences": differences })),
        Finding::Error { error } => ("error", json!({ "error": error })),
    };
    if let (Value::Object(test), Value::Object(more)) = (&mut test, more) {
        test.insert("result".to_owned(), result.into());
        test.extend(more);
    }
    test
}
