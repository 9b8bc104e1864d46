//! A report in JUnit XML for continuous integration: a test suite for each scenario and a test case for each runtime.

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::human::{self, Colour};
use super::{Finding, Outcome};

/// Returns the report, in the order of the scenarios.
pub fn text(outcomes: &[Outcome]) -> anyhow::Result<String> {
    let mut report = Report::new("tidegate test");
    for of_one in
        outcomes.chunk_by(|one, next| one.scenario == next.scenario && one.file == next.file)
    {
        let Some(first) = of_one.first() else {
            continue;
        };
        let mut suite = TestSuite::new(&first.scenario);
        suite.add_test_cases(of_one.iter().map(case));
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .context("cannot write the results as XML")
}

fn case(outcome: &Outcome) -> TestCase {
    let status = match &outcome.result {
        Finding::Passed => TestCaseStatus::success(),
        Finding::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        Finding::Failed { .. } | Finding::Differs { .. } => {
            non_success(NonSuccessKind::Failure, outcome)
        }
        Finding::Error { .. } => non_success(NonSuccessKind::Error, outcome),
    };
    let mut case = TestCase::new(&outcome.runtime, status);
    case.set_classname(&outcome.scenario);
    case.set_time(outcome.took);
    case
}

fn non_success(kind: NonSuccessKind, outcome: &Outcome) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(match &outcome.result {
        Finding::Failed { mismatches, .. } => match &mismatches[..] {
            [(_, one)] => one.to_string(),
            several => format!("{} expectations failed", several.len()),
        },
        Finding::Differs { .. } => "the runtimes behave differently".to_owned(),
        Finding::Error { error } => error.clone(),
        Finding::Passed | Finding::Skipped { .. } => String::new(),
    });
    status.set_description(human::failures(
        std::slice::from_ref(outcome),
        Colour(false),
    ));
    status
}
