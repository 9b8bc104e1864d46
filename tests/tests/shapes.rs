//! Every crate under `guest/plugins` and `guest/examples` is built with each of the three toolchains for components, adapted, and run.
//!
//! The scenario tests cover the default toolchain in every runtime. Here, the same scenarios run with each toolchain. A crate without a
//! scenario is an error.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::guests::{self, Shape};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{RuntimeKind, Scenario, scenario, verdict};

const TUTORIAL: &str = "istio-tutorial";

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    let scenarios = Arc::new(scenario::walk(&workspace::scenarios(), None)?);
    let mut trials = Vec::new();
    for guest in crates()? {
        for shape in Shape::ALL {
            for runtime in RuntimeKind::all() {
                let (scenarios, guest) = (scenarios.clone(), guest.clone());
                let name = format!("{guest}/{shape}/{}", runtime.name());
                trials.push(Trial::ignorable_test(name, move || {
                    behaves(&scenarios, &guest, shape, runtime)
                }));
            }
        }
    }
    Ok(trials)
}

/// Returns the guests that are published.
fn crates() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["guest/plugins", "guest/examples"] {
        let folder = workspace::root().join(folder);
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?
        {
            let path = entry?.path();
            // The gallery also contains plugins in other languages, which cargo does not build, and the plugins share a library.
            let manifest = std::fs::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
            if manifest.contains("cdylib") {
                names.extend(
                    path.file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                );
            }
        }
    }
    if !names.iter().any(|name| name == TUTORIAL) {
        bail!("guest/examples has no {TUTORIAL}");
    }
    names.sort();
    Ok(names)
}

/// Runs every scenario that consists of this guest alone.
fn behaves(
    scenarios: &[Scenario],
    guest: &str,
    shape: Shape,
    runtime: RuntimeKind,
) -> Result<Completion, Failed> {
    if let RuntimeKind::Envoy(_) = runtime
        && let Ok(Err(reason)) = tidegate_tests::envoy(Release::ALL[0])
    {
        return Ok(Completion::ignored_with(reason));
    }
    let own = |scenario: &&Scenario| {
        scenario.is_for(runtime) && scenario.plugins.iter().all(|plugin| plugin.guest == guest)
    };
    let shaped = tidegate_tests::runner(move |_, plugin, runtime| {
        let built = guests::build(&plugin.guest, shape)?;
        Ok(if runtime == RuntimeKind::Component {
            built.component
        } else {
            built.module
        })
    });
    let mut ran = 0;
    for scenario in scenarios.iter().filter(own) {
        let check = || -> Result<()> {
            let transcript = shaped.run(scenario, runtime)?;
            verdict::check(scenario, &transcript)
        };
        check().map_err(|error| format!("scenario {}: {error:#}", scenario.name))?;
        ran += 1;
    }
    if ran == 0 {
        return Err(format!(
            "no scenario uses `{guest}` alone; add one in tests/scenarios/plugins"
        )
        .into());
    }
    Ok(Completion::Completed)
}
