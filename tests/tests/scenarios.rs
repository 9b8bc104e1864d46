//! Runs every scenario in every runtime, and compares the runtimes with each other.
//!
//! Each file in `tests/scenarios` becomes one test per runtime, `<interface>/<name>/<runtime>`, and one that compares the transcripts of
//! the runtimes, `<interface>/<name>/runtimes_agree`. A scenario runs once in each runtime, in whichever test comes first. Scenarios in
//! which a proxy may call a stream within one of its callbacks also run with the probe that is built with the SDK:
//! `<interface>/<name>/sdk/<runtime>`. `cargo test -p tidegate-tests --test scenarios -- http-fields/get` runs the tests of one file.

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
use tidegate_testkit::{
    Owned, Runner, RuntimeKind, Scenario, Transcript, compare, scenario, verdict,
};

/// A scenario and its runs so far.
struct Case {
    scenario: Scenario,
    runs: BTreeMap<RuntimeKind, OnceLock<Result<Transcript, String>>>,
    runner: Arc<Runner>,
}

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    let folder = workspace::scenarios();
    let owned = Arc::new(Owned::known()?);
    let scenarios = scenario::walk(&folder, None).context("failed to read the scenarios")?;
    let runner = Arc::new(tidegate_tests::runner(wasm));
    let with_sdk = Arc::new(tidegate_tests::runner(|scenario, plugin, runtime| {
        let mut plugin = plugin.clone();
        if plugin.guest == PROBE {
            plugin.guest = SDK_PROBE.to_owned();
        }
        wasm(scenario, &plugin, runtime)
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

/// The probe, and the probe that is built with the SDK.
const PROBE: &str = "probe";
const SDK_PROBE: &str = "sdk-probe";

/// The directories of scenarios in which a hostcall may cause the proxy to call the same stream.
const NESTING: [&str; 4] = ["http-bodies/", "local-responses/", "on-", "stream-control/"];

fn may_nest(scenario: &Scenario) -> bool {
    let is_there = |plugin: &Plugin| plugin.guest == PROBE;
    NESTING
        .iter()
        .any(|folder| scenario.name.starts_with(folder))
        && scenario.plugins.iter().any(is_there)
}

/// Returns the tests of a scenario. `variant` is part of their names.
fn trials_of(
    variant: &str,
    scenario: Scenario,
    runner: &Arc<Runner>,
    owned: &Arc<Owned>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    let runtimes = RuntimeKind::all()
        .into_iter()
        .filter(|runtime| scenario.is_for(*runtime));
    let runs = runtimes.map(|runtime| (runtime, OnceLock::new())).collect();
    let case = Arc::new(Case {
        scenario,
        runs,
        runner: runner.clone(),
    });
    for runtime in case.runs.keys().copied() {
        let (name, case) = (
            format!("{}{variant}/{}", case.scenario.name, runtime.name()),
            case.clone(),
        );
        trials.push(Trial::ignorable_test(name, move || case.passes(runtime)));
    }
    let name = format!("{}{variant}/runtimes_agree", case.scenario.name);
    let owned = owned.clone();
    trials.push(Trial::ignorable_test(name, move || {
        case.runtimes_agree(&owned)
    }));
    trials
}

/// Returns a guest of this workspace: a crate, or a directory in `tests/wat`.
fn wasm(_: &Scenario, plugin: &Plugin, runtime: RuntimeKind) -> Result<Bytes> {
    let built = match tidegate_components::guest(&plugin.guest, Encoder::Newest)? {
        Some(component) => guests::adapted(&plugin.guest, component)?,
        None => guests::build(&plugin.guest, Shape::Wasip2)?,
    };
    Ok(match runtime {
        RuntimeKind::Component => built.component,
        RuntimeKind::ProxyWasm | RuntimeKind::Envoy(_) => built.module,
    })
}

impl Case {
    /// The transcript satisfies the scenario's expectations.
    fn passes(&self, runtime: RuntimeKind) -> Result<Completion, Failed> {
        if let Some(reason) = missing(runtime) {
            return Ok(Completion::ignored_with(reason));
        }
        let transcript = self.run(runtime).as_ref().map_err(Failed::from)?;
        verdict::check(&self.scenario, transcript)
            .map_err(|error| Failed::from(format!("{error:#}")))?;
        Ok(Completion::Completed)
    }

    /// The transcripts of all runtimes agree.
    fn runtimes_agree(&self, owned: &Owned) -> Result<Completion, Failed> {
        let runtimes: Vec<RuntimeKind> = self
            .runs
            .keys()
            .copied()
            .filter(|runtime| missing(*runtime).is_none())
            .collect();
        let [first, others @ ..] = &runtimes[..] else {
            return Ok(Completion::ignored_with("there is only one runtime"));
        };
        let left = self.run(*first).as_ref().map_err(Failed::from)?;
        let mut found = Vec::new();
        for runtime in others {
            let right = self.run(*runtime).as_ref().map_err(Failed::from)?;
            for difference in compare::differences(&owned.of(&self.scenario), left, right) {
                found.push(format!(
                    "{} versus {}: {difference}",
                    first.name(),
                    runtime.name()
                ));
            }
        }
        if found.is_empty() {
            Ok(Completion::Completed)
        } else {
            Err(found.join("\n").into())
        }
    }

    fn run(&self, runtime: RuntimeKind) -> &Result<Transcript, String> {
        // The map contains every runtime for which a test was created.
        self.runs[&runtime].get_or_init(|| {
            self.runner
                .run(&self.scenario, runtime)
                .map_err(|error| format!("{error:#}"))
        })
    }
}

/// Returns why a runtime is not available on this platform. Printed once to standard error, because many tests have the same reason.
fn missing(runtime: RuntimeKind) -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let RuntimeKind::Envoy(_) = runtime else {
        return None;
    };
    let reason = MISSING.get_or_init(|| {
        let reason = match tidegate_tests::envoy(Release::ALL[0]) {
            Ok(Err(reason)) => reason.to_string(),
            // A failed download is reported by the tests that need it, which fail.
            Ok(Ok(_)) | Err(_) => return None,
        };
        eprintln!("{reason}");
        Some(reason)
    });
    reason.clone()
}
