//! Every scenario in every home, and the homes against each other.
//!
//! The folder `tests/scenarios` is walked; each file becomes one test for each home, `<interface>/<name>/<home>`, and one
//! that compares the homes' transcripts, `<interface>/<name>/homes_agree`. A home's run is made once, by whichever test comes
//! first. Scenarios in which a proxy may call a stream within one of its callbacks run with the probe that is made with the SDK, too:
//! `<interface>/<name>/sdk/<home>`. `cargo test -p tidegate-tests --test scenarios -- http-fields/get` runs what belongs to one file.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use bytes::Bytes;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::Encoder;
use tidegate_components::guests::{self, Shape};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::scenario::Plugin;
use tidegate_testkit::{HomeKind, Owned, Runner, Scenario, Transcript, compare, scenario, verdict};

/// A scenario with its runs so far.
struct Case {
    scenario: Scenario,
    runs: BTreeMap<HomeKind, OnceLock<Result<Transcript, String>>>,
    runner: Arc<Runner>,
}

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let folder = workspace::scenarios();
    let owned = Arc::new(Owned::known()?);
    let scenarios = scenario::walk(&folder, None).context("the scenarios cannot be read")?;
    let runner = Arc::new(tidegate_tests::runner(wasm));
    let with_sdk = Arc::new(tidegate_tests::runner(|scenario, plugin, home| {
        let mut plugin = plugin.clone();
        if plugin.guest == PROBE {
            plugin.guest = SDK_PROBE.to_owned();
        }
        wasm(scenario, &plugin, home)
    }));
    let mut trials = Vec::new();
    for scenario in scenarios {
        trials.extend(trials_of("", scenario, &runner, &owned));
    }
    let nesting = scenario::walk(&folder, None)?.into_iter().filter(may_nest);
    for scenario in nesting {
        trials.extend(trials_of("/sdk", scenario, &with_sdk, &owned));
    }
    Ok(trials)
}

/// The probe, and the one that is made with the SDK.
const PROBE: &str = "probe";
const SDK_PROBE: &str = "sdk-probe";

/// Folders of scenarios in which a hostcall may make the proxy call the same stream.
const NESTING: [&str; 4] = ["http-bodies/", "local-responses/", "on-", "stream-control/"];

fn may_nest(scenario: &Scenario) -> bool {
    let is_there = |plugin: &Plugin| plugin.guest == PROBE;
    NESTING
        .iter()
        .any(|folder| scenario.name.starts_with(folder))
        && scenario.plugins.iter().any(is_there)
}

/// A scenario's tests; `variant` is part of their names.
fn trials_of(
    variant: &str,
    scenario: Scenario,
    runner: &Arc<Runner>,
    owned: &Arc<Owned>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    let homes = HomeKind::all()
        .into_iter()
        .filter(|home| scenario.is_for(*home));
    let runs = homes.map(|home| (home, OnceLock::new())).collect();
    let case = Arc::new(Case {
        scenario,
        runs,
        runner: runner.clone(),
    });
    for home in case.runs.keys().copied() {
        let (name, case) = (
            format!("{}{variant}/{}", case.scenario.name, home.name()),
            case.clone(),
        );
        trials.push(Trial::ignorable_test(name, move || case.passes(home)));
    }
    let name = format!("{}{variant}/homes_agree", case.scenario.name);
    let owned = owned.clone();
    trials.push(Trial::ignorable_test(name, move || {
        case.homes_agree(&owned)
    }));
    trials
}

/// A guest of this workspace: a crate, or a folder of `tests/wat`.
fn wasm(_: &Scenario, plugin: &Plugin, home: HomeKind) -> Result<Bytes> {
    let built = match tidegate_components::guest(&plugin.guest, Encoder::Newest)? {
        Some(component) => guests::adapted(&plugin.guest, component)?,
        None => guests::build(&plugin.guest, Shape::Wasip2)?,
    };
    Ok(match home {
        HomeKind::Component => built.component,
        HomeKind::ProxyWasm | HomeKind::Envoy(_) => built.module,
    })
}

impl Case {
    /// What the scenario states is what is seen.
    fn passes(&self, home: HomeKind) -> Result<Completion, Failed> {
        if let Some(reason) = missing(home) {
            return Ok(Completion::ignored_with(reason));
        }
        let transcript = self.run(home).as_ref().map_err(Failed::from)?;
        verdict::check(&self.scenario, transcript)
            .map_err(|error| Failed::from(format!("{error:#}")))?;
        Ok(Completion::Completed)
    }

    /// What is seen in one home is seen in all.
    fn homes_agree(&self, owned: &Owned) -> Result<Completion, Failed> {
        let homes: Vec<HomeKind> = self
            .runs
            .keys()
            .copied()
            .filter(|home| missing(*home).is_none())
            .collect();
        let [first, others @ ..] = &homes[..] else {
            return Ok(Completion::ignored_with("there is one home only"));
        };
        let left = self.run(*first).as_ref().map_err(Failed::from)?;
        let mut found = Vec::new();
        for home in others {
            let right = self.run(*home).as_ref().map_err(Failed::from)?;
            for difference in compare::differences(owned, left, right) {
                found.push(format!(
                    "{} against {}: {difference}",
                    first.name(),
                    home.name()
                ));
            }
        }
        if found.is_empty() {
            Ok(Completion::Completed)
        } else {
            Err(found.join("\n").into())
        }
    }

    fn run(&self, home: HomeKind) -> &Result<Transcript, String> {
        // The keys are the homes that tests were made for.
        self.runs[&home].get_or_init(|| {
            self.runner
                .run(&self.scenario, home)
                .map_err(|error| format!("{error:#}"))
        })
    }
}

/// Why a home cannot be had on this platform. Said once on standard error, beside every test that it concerns.
fn missing(home: HomeKind) -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let HomeKind::Envoy(_) = home else {
        return None;
    };
    let reason = MISSING.get_or_init(|| {
        let reason = match tidegate_tests::envoy(Release::ALL[0]) {
            Ok(Err(reason)) => reason.to_string(),
            // That a download failed is for the tests that need it to say: they fail.
            Ok(Ok(_)) | Err(_) => return None,
        };
        eprintln!("{reason}");
        Some(reason)
    });
    reason.clone()
}
