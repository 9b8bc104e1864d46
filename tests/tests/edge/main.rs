//! Sends raw requests through Tidegate's proxy and through Envoy, in front of an upstream that answers with raw bytes, and compares what the
//! client and the upstream receive.
//!
//! Each file in `tests/edge` contains the cases of one kind; its README describes the format. A case is one test for each proxy,
//! `<kind>/<case>/<proxy>`. In Envoy, the outcome must be the recorded one. In Tidegate's proxy, it must be that of Envoy or, for a case with
//! a known difference, the recorded one. `differences_are_documented` compares the differences with `docs/host-differences.md`.
//! `BLESS=1` records the outcomes.
//!
//! `case` reads and writes the files, `settings` are those of the proxies, `lanes` starts the proxies, `time` lets time pass for them,
//! `client` and `upstream` are the two ends, `message` parses what they receive, and `trace` describes it in text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::workspace;

use crate::case::{Case, Kind};
use crate::lanes::{Lanes, Proxy};

mod case;
mod client;
mod lanes;
mod message;
mod settings;
mod time;
mod trace;
mod upstream;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The tests wait for other threads and processes.
    arguments.test_threads.get_or_insert(lanes::COUNT);
    let trials = trials(arguments.filter.as_deref());
    tidegate_tests::run(&arguments, trials)
}

fn trials(filter: Option<&str>) -> Result<Vec<Trial>> {
    let kinds = case::kinds()?;
    let lanes = Arc::new(Lanes::new(kinds.iter().flat_map(|kind| &kind.cases))?);
    if std::env::var_os("BLESS").is_some() {
        bless(&lanes, filter)?;
    }
    let mut trials = Vec::new();
    let kinds = case::kinds()?;
    let named: BTreeMap<String, String> = kinds.iter().flat_map(Kind::differences).collect();
    for kind in kinds {
        for case in kind.cases {
            let case = Arc::new(case);
            for proxy in Proxy::ALL {
                let (lanes, case) = (lanes.clone(), case.clone());
                let name = format!("{}/{}/{}", kind.name, case.name, proxy.name());
                trials.push(Trial::ignorable_test(name, move || {
                    check(&lanes, &case, proxy)
                }));
            }
        }
    }
    trials.push(Trial::test("differences_are_documented", move || {
        differences_are_documented(&named)
    }));
    Ok(trials)
}

/// Runs a case, and compares the outcome with the recorded one.
fn check(lanes: &Lanes, case: &Case, proxy: Proxy) -> Result<Completion, Failed> {
    if let Some(reason) = lanes::missing(proxy) {
        return Ok(Completion::ignored_with(reason));
    }
    let expected = case
        .expected(proxy)
        .map_err(|error| Failed::from(format!("{error:#}")))?;
    let actual = lanes
        .run(case, proxy)
        .map_err(|error| Failed::from(format!("{error:#}")))?;
    if actual == expected {
        return Ok(Completion::Completed);
    }
    let hint = match (proxy, &case.tidegate) {
        (Proxy::Tidegate, Some(_)) if Some(&actual) == case.envoy.as_ref() => {
            "the recorded difference is gone: "
        }
        _ => "",
    };
    Err(format!(
        "{hint}`BLESS=1` records the outcome\n--- expected\n{expected}--- actual\n{actual}"
    )
    .into())
}

/// Records the outcomes of all cases in all proxies. With a filter such as `limits/`, only those of one kind.
fn bless(lanes: &Arc<Lanes>, filter: Option<&str>) -> Result<()> {
    let is_chosen = |kind: &Kind| {
        let starts = |filter: &str| format!("{}/", kind.name).starts_with(filter);
        filter.is_none_or(starts)
    };
    for kind in case::kinds()?.into_iter().filter(is_chosen) {
        let outcomes = std::thread::scope(|scope| {
            let running: Vec<_> = kind
                .cases
                .chunks(kind.cases.len().div_ceil(lanes::COUNT).max(1))
                .map(|cases| {
                    scope.spawn(move || {
                        let outcomes = cases.iter().map(|case| lanes.run_in_all(case));
                        outcomes.collect::<Result<Vec<_>>>()
                    })
                })
                .collect();
            let mut outcomes = Vec::new();
            for part in running {
                let part = part.join().ok().context("a thread panicked")?;
                outcomes.extend(part?);
            }
            Ok::<_, anyhow::Error>(outcomes)
        })?;
        kind.record(&outcomes)?;
    }
    Ok(())
}

/// Every difference that a case names is a row of the page, and every such row is a difference that a case names.
fn differences_are_documented(named: &BTreeMap<String, String>) -> Result<(), Failed> {
    let page = workspace::root().join("docs/host-differences.md");
    let text = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let documented: BTreeSet<&str> = text.lines().filter_map(row).collect();
    let mut wrong: Vec<String> = named
        .iter()
        .filter(|(difference, _)| !documented.contains(difference.as_str()))
        .map(|(difference, case)| {
            format!("`{difference}`, which {case} names, is not documented; add a row")
        })
        .collect();
    let gone = documented
        .into_iter()
        .filter(|it| !named.contains_key(*it))
        .map(|difference| {
            format!("`{difference}` is documented, but no case names it; remove the row")
        });
    wrong.extend(gone);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{}:\n{}", page.display(), wrong.join("\n")).into()),
    }
}

/// Returns the difference that a row of a table is about: it starts with a name in backticks and a colon.
fn row(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix("| `")?.split_once('`')?;
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (is_name && rest.starts_with(':')).then_some(name)
}
