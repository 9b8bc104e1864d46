//! The greeter in other languages: the contract in JavaScript, Python and C, and a module that was built with the Proxy-Wasm Go SDK.
//! `contract` calls the functions that the greeter does not call.
//!
//! If a language's tools are not on the PATH, its tests are ignored, and a message on standard error gives the reason. Envoy takes ten
//! seconds or more to compile a runtime of 12 or 18 MB. For this reason, the greeter in JavaScript and Python runs only in the newest
//! Envoy, and in all Envoys if `TIDEGATE_EVERY_ENVOY` is set, as by `cargo xtask soak languages`.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::languages::{self, Language};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{RuntimeKind, Scenario, verdict};

/// A plugin that exists in several languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    Greeter,
    /// Calls the functions that the greeter does not call.
    Contract,
}

/// A plugin's build in a language, which is run once, or why it cannot be built.
type Build = Arc<OnceLock<Result<Result<Bytes, String>, String>>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let ours = [RuntimeKind::Component, RuntimeKind::ProxyWasm];
    let envoys = Release::ALL.map(RuntimeKind::Envoy);
    let mut large = RuntimeKind::all().to_vec();
    if std::env::var_os("TIDEGATE_EVERY_ENVOY").is_none() {
        large.retain(
            |runtime| !matches!(runtime, RuntimeKind::Envoy(release) if *release != Release::ALL[0]),
        );
    }
    let trials = [
        (Plugin::Greeter, Language::JavaScript, large.clone()),
        (Plugin::Greeter, Language::Python, large),
        (Plugin::Greeter, Language::C, RuntimeKind::all().to_vec()),
        (
            Plugin::Greeter,
            Language::Go,
            [&[RuntimeKind::ProxyWasm][..], &envoys].concat(),
        ),
        (Plugin::Contract, Language::JavaScript, ours.to_vec()),
        (Plugin::Contract, Language::Python, ours.to_vec()),
    ]
    .into_iter()
    .flat_map(|(plugin, language, runtimes)| of(plugin, language, runtimes));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn of(plugin: Plugin, language: Language, runtimes: Vec<RuntimeKind>) -> Vec<Trial> {
    let build = Build::default();
    let trial = |runtime: RuntimeKind| {
        let scenarios = match (plugin, language, runtime) {
            (Plugin::Contract, ..) => &["contract"][..],
            // In C, the configuration is the greeting itself. Neither this plugin nor the one made with the Go SDK sends HTTP calls.
            (_, Language::C, _) | (_, Language::Go, RuntimeKind::Envoy(_)) => &["default"],
            (_, Language::Go, _) => &["default", "configured", "misconfigured"],
            // A single scenario, because Envoy compiles the module for several seconds each time it starts.
            (_, _, RuntimeKind::Envoy(_)) => &["callout"],
            _ => &["default", "configured", "misconfigured", "callout"],
        };
        let build = build.clone();
        let name = match plugin {
            Plugin::Greeter => format!("{language}/{}", runtime.name()),
            Plugin::Contract => format!("contract/{language}/{}", runtime.name()),
        };
        Trial::ignorable_test(name, move || {
            test(plugin, language, &build, runtime, scenarios)
                .map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    runtimes.into_iter().map(trial).collect()
}

fn test(
    plugin: Plugin,
    language: Language,
    build: &Build,
    runtime: RuntimeKind,
    scenarios: &[&str],
) -> Result<Completion> {
    if let RuntimeKind::Envoy(release) = runtime
        && let Err(reason) = tidegate_tests::envoy(release)?
    {
        return Ok(Completion::ignored_with(reason));
    }
    let built = build.get_or_init(|| {
        let (built, name) = match plugin {
            Plugin::Greeter => (languages::build(language), "the greeter"),
            Plugin::Contract => (languages::build_contract(language), "`contract`"),
        };
        let built = built.map_err(|error| format!("{error:#}"))?;
        Ok(built.map_err(|missing| {
            eprintln!("SKIPPED: {name} in {language}: {missing}");
            missing.to_string()
        }))
    });
    let wasm = match built {
        Ok(Ok(wasm)) => wasm.clone(),
        Ok(Err(missing)) => return Ok(Completion::ignored_with(missing)),
        Err(error) => return Err(anyhow!(error.clone())),
    };
    let wasm = if runtime == RuntimeKind::Component || language == Language::Go {
        wasm
    } else {
        tidegate_adapter::adapt(&wasm, &tidegate_adapter::Options::default())?.into()
    };
    let runner = tidegate_tests::runner(move |_, _, _| Ok(wasm.clone()));
    let folder = workspace::root().join("tests/languages");
    for name in scenarios {
        let scenario = Scenario::read(&folder, &folder.join(format!("{name}.yaml")), None)?;
        let transcript = runner.run(&scenario, runtime)?;
        verdict::check(&scenario, &transcript)
            .map_err(|error| error.context(format!("scenario {name}")))?;
    }
    Ok(Completion::Completed)
}
