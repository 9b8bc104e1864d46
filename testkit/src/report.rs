//! The results of several scenarios as plain data, and reports in text, JSON and JUnit XML.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::Position;
use crate::verdict::Mismatch;

pub mod human;
pub mod json;
pub mod junit;
pub mod terminal;

/// The result of a scenario in one runtime, or of the comparison of its runtimes.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name: the path of its file relative to the scenario folder, without the extension.
    pub scenario: String,
    /// The scenario's file.
    pub file: PathBuf,
    /// The runtime's name, or [`AGREE`].
    pub runtime: String,
    /// The elapsed time.
    pub took: Duration,
    /// The result.
    pub result: Finding,
}

/// The value of [`Outcome::runtime`] for a comparison of runtimes.
pub const AGREE: &str = "runtimes agree";

/// The result of a test.
#[derive(Debug)]
pub enum Finding {
    /// All expectations were met.
    Passed,
    /// The test was not run.
    Skipped {
        /// The reason.
        reason: String,
    },
    /// At least one expectation was not met.
    Failed {
        /// The mismatches, each with its position in the scenario's file, if known.
        mismatches: Vec<(Option<Position>, Mismatch)>,
        /// The whole transcript.
        transcript: String,
    },
    /// The runtimes produced different results.
    Differs {
        /// The differences, one line each.
        differences: Vec<String>,
    },
    /// The test could not be completed.
    Error {
        /// The error with its causes.
        error: String,
    },
}

// === impl Outcome ===

impl Outcome {
    /// Returns whether this counts as a failure.
    pub fn is_failure(&self) -> bool {
        !matches!(self.result, Finding::Passed | Finding::Skipped { .. })
    }
}
