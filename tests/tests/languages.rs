//! The greeter in other languages: the contract as JavaScript, Python and C see it, and a module of the Proxy-Wasm Go SDK.
//!
//! Where a language's tools are not on the path its tests are ignored, and a line on standard error says which and why. Envoy compiles
//! a runtime of 12 or 18 MB for ten seconds and more: JavaScript and Python are tried in the newest Envoy, and in the
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

/// A language's build, made once, or why there is none.
type Build = Arc<OnceLock<Result<Result<Bytes, String>, String>>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let envoys = Release::ALL.map(RuntimeKind::Envoy);
    let mut large = RuntimeKind::all().to_vec();
    if std::env::var_os("TIDEGATE_EVERY_ENVOY").is_none() {
        large.retain(
            |runtime| !matches!(runtime, RuntimeKind::Envoy(release) if *release != Release::ALL[0]),
        );
    }
    let trials = [
        (Language::JavaScript, large.clone()),
        (Language::Python, large),
        (Language::C, RuntimeKind::all().to_vec()),
        (
            Language::Go,
            [&[RuntimeKind::ProxyWasm][..], &envoys].concat(),
        ),
    ]
    .into_iter()
    .flat_map(|(language, runtimes)| of(language, runtimes));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn of(language: Language, runtimes: Vec<RuntimeKind>) -> Vec<Trial> {
    let build = Build::default();
    let trial = |runtime: RuntimeKind| {
        let scenarios = match (language, runtime) {
            // Its configuration is the greeting itself.
            (Language::C, _) => &["default"][..],
            // Envoy compiles the module for seconds, each time that it starts.
            (_, RuntimeKind::Envoy(_)) => &["default"],
            _ => &["default", "configured", "misconfigured"],
        };
        let build = build.clone();
        let name = format!("{language}/{}", runtime.name());
        Trial::ignorable_test(name, move || {
            test(language, &build, runtime, scenarios)
                .map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    runtimes.into_iter().map(trial).collect()
}

fn test(
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
        let built = languages::build(language).map_err(|error| format!("{error:#}"))?;
        Ok(built.map_err(|missing| {
            eprintln!("SKIPPED: the greeter in {language}: {missing}");
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
