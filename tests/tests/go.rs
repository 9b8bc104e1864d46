//! The plugins of `guest/go`: the greeter and the tutorial behave like their Rust counterparts, in both engines and in all Envoys, and
//! continue to do so while Go's garbage collector runs. `contract`, in `tests/go`, calls the functions that they do not call.
//!
//! If Go is not on the PATH, the tests are ignored and a message is printed to standard error.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_components::go;
use tidegate_components::guests::{self, Built};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::{Owned, Runner, RuntimeKind, Scenario, compare, verdict};

/// The number of requests in one run of the garbage collector's test. `cargo xtask soak` sets a higher number.
const REQUESTS: usize = 2000;

/// The maximum number of requests to one proxy, because the length of a scenario is limited.
const MOST: usize = 10_000;

/// A plugin and its scenarios.
struct Plugin {
    name: &'static str,
    /// The directory of the scenarios.
    folder: &'static str,
    ours: &'static [&'static str],
    /// Fewer scenarios than in the host, because Envoy compiles the module for several seconds each time it starts.
    newest_envoy: &'static [&'static str],
    other_envoys: &'static [&'static str],
}

const PLUGINS: [Plugin; 3] = [
    Plugin {
        name: "greeter",
        folder: "tests/languages",
        ours: &["default", "configured", "misconfigured", "callout"],
        newest_envoy: &["default", "callout"],
        other_envoys: &["default"],
    },
    Plugin {
        name: "tutorial",
        folder: "tests/scenarios/plugins",
        ours: &["tutorial", "tutorial-configured", "tutorial-misconfigured"],
        newest_envoy: &["tutorial"],
        other_envoys: &["tutorial"],
    },
    Plugin {
        name: "contract",
        folder: "tests/languages",
        ours: &["contract"],
        newest_envoy: &["contract"],
        other_envoys: &[],
    },
];

/// A plugin's build, which is run once.
type Build = Arc<OnceLock<Result<Built, String>>>;

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    if !go::is_there() {
        eprintln!("SKIPPED: the plugins in Go: `go` is not on PATH");
    }
    let mut trials = Vec::new();
    for plugin in PLUGINS {
        let build = Build::default();
        for runtime in RuntimeKind::all() {
            let scenarios = plugin.scenarios(runtime);
            if scenarios.is_empty() {
                continue;
            }
            let build = build.clone();
            trials.push(trial(
                &format!("{}/{}", plugin.name, runtime.name()),
                runtime,
                move || passes(plugin.name, &build, plugin.folder, scenarios, runtime),
            ));
        }
    }
    let build = Build::default();
    for runtime in RuntimeKind::all() {
        let build = build.clone();
        trials.push(trial(
            &format!("collector/{}", runtime.name()),
            runtime,
            move || survives(&build, runtime),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Plugin {
    fn scenarios(&self, runtime: RuntimeKind) -> &'static [&'static str] {
        match runtime {
            RuntimeKind::Component | RuntimeKind::ProxyWasm => self.ours,
            RuntimeKind::Envoy(release) if release == Release::ALL[0] => self.newest_envoy,
            RuntimeKind::Envoy(_) => self.other_envoys,
        }
    }
}

fn trial(
    name: &str,
    runtime: RuntimeKind,
    test: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        if !go::is_there() {
            return Ok(Completion::ignored_with("`go` is not on PATH"));
        }
        let run = || -> Result<Completion> {
            if let RuntimeKind::Envoy(release) = runtime
                && let Err(reason) = tidegate_tests::envoy(release)?
            {
                return Ok(Completion::ignored_with(reason));
            }
            test()?;
            Ok(Completion::Completed)
        };
        run().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn runner(plugin: &'static str, build: &Build) -> Result<Runner> {
    let built = build.get_or_init(|| {
        let target = workspace::target().join("languages");
        let build = || guests::adapted(plugin, go::build(plugin, &target)?);
        build().map_err(|error| format!("{error:#}"))
    });
    let built = built.clone().map_err(|error| anyhow!(error))?;
    Ok(tidegate_tests::runner(
        move |_, _, runtime| -> Result<Bytes> {
            Ok(match runtime {
                RuntimeKind::Component => built.component.clone(),
                RuntimeKind::ProxyWasm | RuntimeKind::Envoy(_) => built.module.clone(),
            })
        },
    ))
}

/// Each scenario of the Rust plugin passes, and the transcript agrees with that of the Rust plugin in Tidegate's host.
fn passes(
    plugin: &'static str,
    build: &Build,
    folder: &str,
    scenarios: &[&str],
    runtime: RuntimeKind,
) -> Result<()> {
    let runner = runner(plugin, build)?;
    let owned = Owned::known()?;
    let folder = workspace::root().join(folder);
    for name in scenarios {
        // The wording of errors depends on the language's JSON library.
        let is_refusal = name.ends_with("misconfigured");
        let mut scenario = Scenario::read(&folder, &folder.join(format!("{name}.yaml")), None)?;
        if is_refusal {
            scenario.start.logs = Vec::new();
        }
        let transcript = runner.run(&scenario, runtime)?;
        if is_refusal {
            ensure!(
                transcript.refused,
                "{name}: the configuration is not refused"
            );
            ensure!(!transcript.start.is_empty(), "{name}: no reason is logged");
            continue;
        }
        verdict::check(&scenario, &transcript).with_context(|| (*name).to_owned())?;
        if plugin == "tutorial" {
            let twin = tidegate_tests::guests().run(&scenario, RuntimeKind::Component)?;
            let found = compare::differences(&owned, &twin, &transcript);
            ensure!(found.is_empty(), "{name}: {}", found.join("\n"));
        }
    }
    Ok(())
}

/// Every request is served while the garbage collector runs: during half of the time in every tenth request, and whenever Go starts it
/// otherwise.
fn survives(build: &Build, runtime: RuntimeKind) -> Result<()> {
    let requests = match std::env::var("TIDEGATE_REQUESTS") {
        Ok(requests) => requests
            .parse()
            .context("TIDEGATE_REQUESTS is not a number")?,
        Err(_) => REQUESTS,
    };
    let runner = runner("collector", build)?;
    let mut left = requests;
    while left > 0 {
        let some = left.min(MOST);
        serves(&runner, runtime, some)?;
        left -= some;
    }
    Ok(())
}

/// Sends the given number of requests to one proxy.
fn serves(runner: &Runner, runtime: RuntimeKind, requests: usize) -> Result<()> {
    let mut text = String::from(
        "about: Go's collector runs while requests are served.\n\
         plugins:\n- { guest: collector }\n\
         upstream:\n- { path: /, body: hello }\nsteps:\n",
    );
    for number in 0..requests {
        text += &format!(
            "- request: {{ path: /, expect: {{ status: 200, headers: {{ x-greeting: [hello {number}], x-entries: ['true'] }} }} }}\n"
        );
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("collector.yaml");
    std::fs::write(&file, text)?;
    let scenario = Scenario::read(folder.path(), &file, None)?;
    let transcript = runner.run(&scenario, runtime)?;
    verdict::check(&scenario, &transcript)?;
    let last = transcript.exchanges.last().context("no request was made")?;
    let cycles = last.headers.iter().find(|(name, _)| name == "x-cycles");
    let (_, cycles) = cycles.context("the response has no number of collections")?;
    let cycles: usize = cycles.to_string().trim_matches('"').parse()?;
    ensure!(
        cycles >= requests / 20,
        "the collector ran {cycles} times in {requests} requests"
    );
    eprintln!(
        "{}: {requests} requests, the collector ran {cycles} times",
        runtime.name()
    );
    Ok(())
}
