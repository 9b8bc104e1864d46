//! The results of several scenarios as plain data, and their forms: text for a person, JSON, JUnit's XML.

use std::path::PathBuf;
use std::time::Duration;

use crate::verdict::Mismatch;

pub mod human;
pub mod json;
pub mod junit;
pub mod terminal;

/// The result of a scenario in one runtime, or of the comparison of its runtimes.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name: its file below the folder of scenarios, without the ending.
    pub scenario: String,
    /// The scenario's file.
    pub file: PathBuf,
    /// The runtime's name, or [`AGREE`].
    pub runtime: String,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: Finding,
}

/// The value of [`Outcome::runtime`] for a comparison of runtimes.
pub const AGREE: &str = "runtimes agree";

/// What came of a test.
#[derive(Debug)]
pub enum Finding {
    /// All is as stated.
    Passed,
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Something is not as stated.
    Failed {
        /// What, each with its line and column in the scenario's file, where that is known.
        mismatches: Vec<(Option<(usize, usize)>, Mismatch)>,
        /// All that was seen.
        transcript: String,
    },
    /// Runtimes saw different things.
    Differs {
        /// What, a line each.
        differences: Vec<String>,
    },
    /// It could not be run to its end.
    Broken {
        /// Why, with causes.
        error: String,
    },
}

// === impl Outcome ===

impl Outcome {
    /// Whether it is a reason to fail.
    pub fn is_failure(&self) -> bool {
        !matches!(self.result, Finding::Passed | Finding::Skipped { .. })
    }
}
