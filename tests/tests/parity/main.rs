//! Envoy's own filters and the plugins that replace them do the same with the same traffic, except for listed differences.
//!
//! Each file in `tests/parity` is a test, `<kind>/<name>/<runtime>` ([`case`] has the format). One Envoy has three listeners for each case
//! ([`proxy`]): one with Envoy's filter, one with the plugin, adapted to Proxy-Wasm, and one with neither. The requests of the case are sent
//! to all of them ([`traffic`]). Statuses, headers, bodies and trailers that the client receives, and what the upstream receives, are
//! compared. A test fails if there is a difference that its file does not list, if a listed one does not exist, or if the plugin's page does
//! not mention it. It also fails if Envoy's filter changes nothing, unless the file says so: nothing would be compared.
//!
//! `table/names_every_case` compares the table of features in `tests/parity/README.md` with the files.

mod case;
mod proxy;
mod traffic;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::workspace;
use tidegate_testkit::Owned;
use tidegate_testkit::envoy::Release;

use crate::case::Case;
use crate::proxy::{Proxy, Side};

/// An Envoy release, and its process with the listeners of all cases, which is started by the first test that needs it.
struct Envoy {
    release: Release,
    proxy: OnceLock<Result<Proxy, String>>,
}

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    let cases = Arc::new(Case::all().context("failed to read the cases")?);
    let owned = Arc::new(Owned::known()?);
    let mut trials = Vec::new();
    for release in Release::ALL {
        let envoy = Arc::new(Envoy {
            release,
            proxy: OnceLock::new(),
        });
        let numbers = (0..cases.len()).filter(|number| cases[*number].is_for(release));
        for number in numbers {
            let (cases, owned, envoy) = (cases.clone(), owned.clone(), envoy.clone());
            let name = format!("{}/{}", cases[number].name, release.runtime());
            trials.push(Trial::ignorable_test(name, move || {
                test(&cases, number, &owned, &envoy)
                    .map_err(|error| Failed::from(format!("{error:#}")))
            }));
        }
    }
    trials.push(Trial::ignorable_test("table/names_every_case", move || {
        table_names_every_case(&cases).map_err(|error| Failed::from(format!("{error:#}")))
    }));
    Ok(trials)
}

fn test(cases: &[Case], number: usize, owned: &Owned, envoy: &Envoy) -> Result<Completion> {
    let binary = match tidegate_tests::envoy(envoy.release)? {
        Ok(binary) => binary,
        Err(no_wheel) => return Ok(Completion::ignored_with(no_wheel.to_string())),
    };
    let proxy = envoy.proxy.get_or_init(|| {
        let cases: Vec<&Case> = cases
            .iter()
            .filter(|case| case.is_for(envoy.release))
            .collect();
        Proxy::start(&binary, &cases).map_err(|error| {
            // Printed once, because every test has the same reason.
            eprintln!("{}: {error:#}", envoy.release.runtime());
            "the proxy with the listeners of all cases did not start".to_owned()
        })
    });
    let proxy = proxy.as_ref().map_err(|error| anyhow!(error.clone()))?;
    let case = &cases[number];
    let filter = traffic::send(case, proxy, Side::Filter)?;
    let plugin = traffic::send(case, proxy, Side::Plugin)?;
    let neither = traffic::send(case, proxy, Side::Neither)?;
    let found = traffic::differences(owned, &filter, &plugin);
    let wrong = complaints(&found, &case.listed(envoy.release));
    ensure!(
        wrong.is_empty(),
        "{} (the filter versus the plugin):\n{}",
        case.file.display(),
        wrong.join("\n")
    );
    let changes_nothing = traffic::differences(owned, &filter, &neither).is_empty();
    ensure!(
        changes_nothing == case.changes_nothing,
        "{}: Envoy's filter changes {}; `changes-nothing` is {}",
        case.file.display(),
        if changes_nothing {
            "nothing"
        } else {
            "something"
        },
        case.changes_nothing
    );
    mentioned(case)?;
    Ok(Completion::Completed)
}

/// The table names each case, and no others.
fn table_names_every_case(cases: &[Case]) -> Result<Completion> {
    let text = std::fs::read_to_string(workspace::root().join("tests/parity/README.md"))
        .context("failed to read tests/parity/README.md")?;
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let column = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let named: BTreeSet<&str> = column
        .flat_map(|column| column.split('`').skip(1).step_by(2))
        .collect();
    let cases: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    let missing: Vec<_> = cases.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&cases).collect();
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "tests/parity/README.md: the table lacks the cases {missing:?}, and names {unknown:?}, which do not exist"
    );
    Ok(Completion::Completed)
}

/// Returns what is wrong with the list of differences.
fn complaints(found: &[String], listed: &[&String]) -> Vec<String> {
    let unlisted = found.iter().filter(|it| !listed.contains(it));
    let gone = listed.iter().filter(|it| !found.contains(it));
    unlisted
        .map(|it| format!("not listed in `differences`: {it}"))
        .chain(gone.map(|it| format!("listed in `differences`, but not there: {it}")))
        .collect()
}

/// Checks that the plugin's page has the reasons for the differences.
fn mentioned(case: &Case) -> Result<()> {
    let page = case.kind.page();
    let text = std::fs::read_to_string(workspace::root().join(page))
        .with_context(|| format!("failed to read {page}"))?;
    let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = joined(&text);
    for difference in &case.differences {
        ensure!(
            text.contains(&joined(&difference.reason)),
            "{page} does not contain the reason for a difference: `{}`. Add it to the migration section",
            difference.reason
        );
    }
    Ok(())
}
