//! What current and earlier tools make is adapted and behaves: the guests of `tests/wat` by two releases of wit-component, the
//! example `bare` by three of wit-bindgen, and the greeter in C, with and without the C library's output.
//!
//! Rust's three targets are in `shapes`, Go in `go`, other languages in `languages`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::Encoder;
use tidegate_components::c::{self, Output};
use tidegate_components::guests::{self, Built, Shape};
use tidegate_components::languages::{self, ZIG};
use tidegate_components::workspace;
use tidegate_testkit::{RuntimeKind, Scenario, scenario, verdict};

/// Our host's two engines: Envoys see what the newest tools make, in `scenarios`.
const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Component, RuntimeKind::ProxyWasm];

/// The guests whose bindings were made by other releases of wit-bindgen than this workspace has.
const BINDGEN: [&str; 2] = ["bare-bindgen-0-41", "bare-bindgen-0-63"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    let folder = workspace::scenarios().join("guests");
    let scenarios = scenario::walk(&folder, None)?.into_iter();
    for scenario in scenarios.filter(|it| is_text(it) && it.plugins.len() == 1) {
        let scenario = Arc::new(scenario);
        for encoder in Encoder::ALL {
            let scenario = scenario.clone();
            let name = format!("{}/{encoder:?}", scenario.name);
            trials.push(trial(name, move || {
                let guest = &scenario.plugins[0].guest;
                // The adapter of that age lacks what the guest imports of it.
                if guest == "clock-paused" && encoder == Encoder::Wasmtime {
                    return Ok(Completion::ignored_with("its adapter came later"));
                }
                let component = tidegate_components::guest(guest, encoder)?;
                let component = component.context("there is no such guest")?;
                let built = guests::adapted(guest, component)?;
                tidegate_adapter::verify(&built.module)?;
                passes(&scenario, &built)
            }));
        }
    }
    for guest in BINDGEN {
        trials.push(trial(guest.to_owned(), move || {
            let folder = workspace::scenarios();
            let file: PathBuf = folder.join("plugins/bare.yaml");
            let scenario = Scenario::read(&folder, &file, None)?;
            passes(&scenario, &guests::build(guest, Shape::Wasip2)?)
        }));
    }
    for output in [Output::Without, Output::With] {
        for encoder in Encoder::ALL {
            trials.push(trial(
                format!("c/{output:?}Output/{encoder:?}"),
                move || {
                    if !languages::has_pip() {
                        return Ok(Completion::ignored_with("there is no Python with pip"));
                    }
                    let folder =
                        workspace::target().join(format!("languages/c-{output:?}-{encoder:?}"));
                    let component = c::build(&languages::pip(ZIG)?, &folder, output, encoder)?;
                    let built = guests::adapted("greeter", component)?;
                    tidegate_adapter::verify(&built.module)?;
                    let folder = workspace::root().join("tests/languages");
                    let scenario = Scenario::read(&folder, &folder.join("default.yaml"), None)?;
                    passes(&scenario, &built)
                },
            ));
        }
    }
    Ok(trials)
}

fn trial(name: String, test: impl FnOnce() -> Result<Completion> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// Whether a scenario's guest is one of `tests/wat`.
fn is_text(scenario: &Scenario) -> bool {
    let wat = workspace::root().join("tests/wat");
    let is_there = |guest: &str| wat.join(guest).is_dir();
    scenario
        .plugins
        .iter()
        .all(|plugin| is_there(&plugin.guest))
}

fn passes(scenario: &Scenario, built: &Built) -> Result<Completion> {
    for runtime in RUNTIMES {
        let built = built.clone();
        let runner = tidegate_tests::runner(move |_, _, runtime| {
            Ok(match runtime {
                RuntimeKind::Component => built.component.clone(),
                RuntimeKind::ProxyWasm | RuntimeKind::Envoy(_) => built.module.clone(),
            })
        });
        let transcript = runner.run(scenario, runtime)?;
        verdict::check(scenario, &transcript).with_context(|| runtime.name())?;
    }
    Ok(Completion::Completed)
}
