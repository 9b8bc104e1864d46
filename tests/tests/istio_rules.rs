//! The rules of `tidegate check` and their fixtures: for every rule, one document that violates only this rule, and one that satisfies it.
//!
//! `cargo xtask e2e istio` checks the same fixtures with Istio's own code, which ensures that the rules are correct. The tests in this file
//! ensure that the fixtures are complete.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use tidegate_deploy::istio::validate::{
    Finding, Options, Origin, Report, Severity, rules, validate,
};
use tidegate_istio_fixtures::{Fixture, Verdict, fixtures};

/// The SHA-256 digest of the smallest valid module, which the fixtures refer to.
const MODULE: &str = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";

fn judge(text: &str) -> Report {
    let options = Options {
        module_sha256: Some(MODULE.into()),
        ..Options::default()
    };
    validate(text, &options).expect("valid YAML")
}

fn errors(report: &Report) -> Vec<&Finding> {
    report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect()
}

/// Returns whether a document gets the verdict in its table.
fn is_right(fixture: &Fixture, report: &Report) -> bool {
    let errors: Vec<&str> = errors(report).iter().map(|it| it.rule.as_str()).collect();
    let is_found = report.findings.iter().any(|it| it.rule == fixture.rule);
    report.judged == 1
        && match (fixture.verdict, fixture.kind) {
            (Verdict::Valid, _) => errors.is_empty() && !is_found,
            (Verdict::Warned, _) => errors.is_empty() && is_found,
            (Verdict::Invalid, Some(_)) => errors == [fixture.rule.as_str()],
            (Verdict::Invalid, None) => !errors.is_empty(),
        }
}

#[test]
fn every_fixture_gets_its_expected_verdict() {
    let wrong: Vec<String> = fixtures()
        .expect("failed to read the fixtures")
        .iter()
        .filter_map(|fixture| {
            let report = judge(&fixture.text);
            (!is_right(fixture, &report)).then(|| format!("{}: {report:#?}", fixture.name()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Collects the required and the existing verdicts by kind and rule.
#[test]
fn every_rule_has_fixtures_and_every_fixture_a_rule() {
    let mut wanted = BTreeMap::new();
    for rule in rules() {
        let other = match rule.origin {
            Origin::Warning => Verdict::Warned,
            _ => Verdict::Invalid,
        };
        wanted.insert(
            (rule.kind.to_string(), rule.id),
            vec![Verdict::Valid, other],
        );
    }
    let mut have: BTreeMap<(String, String), Vec<Verdict>> = BTreeMap::new();
    for fixture in fixtures().expect("failed to read the fixtures") {
        if let Some(kind) = fixture.kind {
            have.entry((format!("{kind:?}"), fixture.rule))
                .or_default()
                .push(fixture.verdict);
        }
    }
    for verdicts in have.values_mut() {
        verdicts.sort_unstable();
    }
    assert_eq!(have, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Mutated documents never cause a panic, and all reported positions are in the text.
    #[test]
    fn mutated_fixtures_do_not_panic(
        which in 0usize..1000,
        edits in prop::collection::vec((0usize..4000, prop::sample::select(b"\0\t\n -:#&*!|>'\"%@`{}[],?<~0123456789.e_ynABC\xc3\xbc\x80".to_vec())), 0..12),
    ) {
        static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| fixtures().expect("failed to read the fixtures"));
        let fixtures = &*FIXTURES;
        let mut bytes = fixtures[which % fixtures.len()].text.clone().into_bytes();
        bytes.truncate(4000);
        for (at, byte) in edits {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().count() + 1;
        match validate(&text, &Options::default()) {
            Ok(report) => for finding in report.findings {
                prop_assert!((1..=lines).contains(&finding.position.line));
            },
            Err(error) => prop_assert!((1..=lines + 1).contains(&error.position.line)),
        }
    }
}
