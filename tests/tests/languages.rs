//! The greeter in other languages: the contract as JavaScript, Python and C see it, and a module of the Proxy-Wasm Go SDK. `contract`
//! calls what the greeter does not call.
//!
//! Where a language's tools are not on the path its tests are ignored, and a line on standard error says which and why. Envoy compiles
//! a runtime of 12 or 18 MB for ten seconds and more: the greeter in JavaScript and Python is tried in the newest Envoy, and in the
//! oldest where `TIDEGATE_EVERY_ENVOY` is set, as `cargo xtask soak languages` does.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::languages::{self, Language};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{RuntimeKind, Scenario, verdict};

/// A plugin that is written in several languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    Greeter,
    /// Calls what the greeter does not call.
    Contract,
}

/// A plugin's build in a language, made once, or why there is none.
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
            // Envoy compiles the module for seconds, each time that it starts.
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
