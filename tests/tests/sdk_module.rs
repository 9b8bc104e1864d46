//! The host runs modules that were built with Proxy-Wasm SDKs like Envoy.
//!
//! The twins of the tutorial and of the plugin `rate-limit`, written with the Rust SDK, pass scenarios of these plugins, and have the same
//! transcripts. The guest `sdk-twins` contains twins of examples of the Go SDK, and `tests/twins` a scenario for each of them. Each scenario
//! becomes one test per runtime, `<example>/<runtime>`; the tests in Envoy also compare the transcript with that of the host.

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::{guests, workspace};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{
    Owned, Runner, RuntimeKind, Scenario, Transcript, compare, scenario, verdict,
};

/// The twin of the tutorial.
const TWIN: &str = "proxy-wasm-twin";

/// The twin of a rule of `rate-limit`, which the benches compare with it, and its scenario.
const RATE_LIMIT_TWIN: &str = "proxy-wasm-rate-limit";
const RATE_LIMIT: &str = "plugins/rate-limit-twin";

/// The module with the examples, which all of their tests share.
static EXAMPLES: LazyLock<Result<Bytes, String>> =
    LazyLock::new(|| guests::build_module("sdk-twins").map_err(|error| format!("{error:#}")));

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    let mut trials = vec![
        trial("twin_passes_the_tutorial_in_our_host", || {
            run(TWIN, "plugins/tutorial", RuntimeKind::ProxyWasm)?;
            run(TWIN, "plugins/tutorial-configured", RuntimeKind::ProxyWasm)?;
            run(
                TWIN,
                "plugins/tutorial-misconfigured",
                RuntimeKind::ProxyWasm,
            )?;
            Ok(Completion::Completed)
        }),
        trial("twin_is_the_tutorial", || {
            let component = tidegate_tests::guests()
                .run(&named("plugins/tutorial")?, RuntimeKind::Component)?;
            agrees(
                &component,
                &run(TWIN, "plugins/tutorial", RuntimeKind::ProxyWasm)?,
            )
        }),
        trial("rate_limit_twin_is_the_plugin_in_our_host", || {
            let plugin =
                tidegate_tests::guests().run(&named(RATE_LIMIT)?, RuntimeKind::ProxyWasm)?;
            agrees(
                &plugin,
                &run(RATE_LIMIT_TWIN, RATE_LIMIT, RuntimeKind::ProxyWasm)?,
            )
        }),
    ];
    trials.extend(Release::ALL.map(|release| {
        let name = format!("twin_is_the_same_in_our_host_and_in_{}", release.runtime());
        trial(&name, move || {
            // A test on a platform without Envoy is reported as ignored.
            if let Err(reason) = tidegate_tests::envoy(release)? {
                return Ok(Completion::ignored_with(reason));
            }
            let ours = run(TWIN, "plugins/tutorial", RuntimeKind::ProxyWasm)?;
            agrees(
                &ours,
                &run(TWIN, "plugins/tutorial", RuntimeKind::Envoy(release))?,
            )
        })
    }));
    let runner = Arc::new(tidegate_tests::runner(|_, _, _| {
        EXAMPLES.clone().map_err(|error| anyhow!(error))
    }));
    let folder = workspace::root().join("tests/twins");
    for scenario in scenario::walk(&folder, None).context("failed to read the scenarios")? {
        trials.extend(of_example(scenario, &runner));
    }
    Ok(trials)
}

fn trial(name: &str, test: impl FnOnce() -> Result<Completion> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn named(name: &str) -> Result<Scenario> {
    let folder = workspace::scenarios();
    Scenario::read(&folder, &folder.join(format!("{name}.yaml")), None)
}

/// Runs a scenario of a plugin with a twin instead of the plugin.
fn run(twin: &'static str, name: &str, runtime: RuntimeKind) -> Result<Transcript> {
    let runner = tidegate_tests::runner(move |_, _, _| guests::build_module(twin));
    checked(&runner, &named(name)?, runtime)
}

/// Returns the tests of an example.
fn of_example(scenario: Scenario, runner: &Arc<Runner>) -> Vec<Trial> {
    let scenario = Arc::new(scenario);
    let test = |runtime: RuntimeKind| {
        let (scenario, runner) = (scenario.clone(), runner.clone());
        let name = format!("{}/{}", scenario.name, runtime.name());
        trial(&name, move || example(&runner, &scenario, runtime))
    };
    let envoys = Release::ALL.map(RuntimeKind::Envoy);
    let runtimes = [&[RuntimeKind::ProxyWasm][..], &envoys].concat();
    runtimes.into_iter().map(test).collect()
}

fn example(runner: &Runner, scenario: &Scenario, runtime: RuntimeKind) -> Result<Completion> {
    if let RuntimeKind::Envoy(release) = runtime
        && let Err(reason) = tidegate_tests::envoy(release)?
    {
        return Ok(Completion::ignored_with(reason));
    }
    let ours = checked(runner, scenario, RuntimeKind::ProxyWasm)?;
    match runtime {
        RuntimeKind::Envoy(_) => agrees(&ours, &checked(runner, scenario, runtime)?),
        RuntimeKind::ProxyWasm | RuntimeKind::Component => Ok(Completion::Completed),
    }
}

/// Runs a scenario and checks its expectations.
fn checked(runner: &Runner, scenario: &Scenario, runtime: RuntimeKind) -> Result<Transcript> {
    let transcript = runner.run(scenario, runtime)?;
    verdict::check(scenario, &transcript)
        .with_context(|| format!("{} in {}", scenario.name, runtime.name()))?;
    Ok(transcript)
}

/// Compares the transcripts of two runtimes.
fn agrees(left: &Transcript, right: &Transcript) -> Result<Completion> {
    let owned = Owned::known()?;
    let found = compare::differences(&owned, left, right);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(Completion::Completed)
}
