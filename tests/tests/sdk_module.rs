//! The host runs what the Proxy-Wasm SDKs make: the tutorial's twin, written with the Rust SDK, passes the scenarios of the
//! tutorial in our host as it does in Envoy.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::{guests, workspace};
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{Owned, RuntimeKind, Scenario, Transcript, compare, verdict};

const TWIN: &str = "proxy-wasm-twin";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        trial("twin_passes_the_tutorial_in_our_host", || {
            run("plugins/tutorial", RuntimeKind::ProxyWasm)?;
            run("plugins/tutorial-configured", RuntimeKind::ProxyWasm)?;
            run("plugins/tutorial-misconfigured", RuntimeKind::ProxyWasm)?;
            Ok(Completion::Completed)
        }),
        trial("twin_is_the_tutorial", || {
            let component = tidegate_tests::guests()
                .run(&scenario("plugins/tutorial")?, RuntimeKind::Component)?;
            agrees(&component, RuntimeKind::ProxyWasm)
        }),
    ];
    trials.extend(Release::ALL.map(|release| {
        let name = format!("twin_is_the_same_in_our_host_and_in_{}", release.runtime());
        trial(&name, move || {
            // In vain on a platform that has no Envoy, and that has to be seen.
            if let Err(reason) = tidegate_tests::envoy(release)? {
                return Ok(Completion::ignored_with(reason));
            }
            let ours = run("plugins/tutorial", RuntimeKind::ProxyWasm)?;
            agrees(&ours, RuntimeKind::Envoy(release))
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: impl FnOnce() -> Result<Completion> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn scenario(name: &str) -> Result<Scenario> {
    let folder = workspace::scenarios();
    Scenario::read(&folder, &folder.join(format!("{name}.yaml")), None)
}

/// Runs a scenario of the tutorial with the twin in the tutorial's place.
fn run(name: &str, runtime: RuntimeKind) -> Result<Transcript> {
    let scenario = scenario(name)?;
    let twin = tidegate_tests::runner(|_, _, _| guests::build_module(TWIN));
    let transcript = twin.run(&scenario, runtime)?;
    verdict::check(&scenario, &transcript)
        .with_context(|| format!("{name} in {}", runtime.name()))?;
    Ok(transcript)
}

/// Holds the twin in a runtime against what was seen elsewhere.
fn agrees(elsewhere: &Transcript, runtime: RuntimeKind) -> Result<Completion> {
    let owned = Owned::known()?;
    let twin = run("plugins/tutorial", runtime)?;
    let found = compare::differences(&owned, elsewhere, &twin);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(Completion::Completed)
}
