//! What the tests of this package and the benches share: scenarios run with this workspace's plugins, in Envoys that are fetched
//! into its target folder.

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use libtest_mimic::{Arguments, Trial};
use tidegate_components::guests::{self, Shape};
use tidegate_components::workspace;
use tidegate_testkit::envoy::{NoWheel, Release, fetched};
use tidegate_testkit::scenario::{Plugin, Scenario};
use tidegate_testkit::{Runner, RuntimeKind};

/// Runs the guests that scenarios name, as rustc makes components.
pub fn guests() -> Runner {
    runner(|_, plugin, runtime| {
        let built = guests::build(&plugin.guest, Shape::Wasip2)?;
        Ok(if runtime == RuntimeKind::Component {
            built.component
        } else {
            built.module
        })
    })
}

/// Runs what `wasm` gives for a scenario's plugins: a component for runtime `component`, a Proxy-Wasm module for the others.
pub fn runner(
    wasm: impl Fn(&Scenario, &Plugin, RuntimeKind) -> Result<Bytes> + Send + Sync + 'static,
) -> Runner {
    let runner = Runner::new(wasm, |release| match envoy(release)? {
        Ok(binary) => Ok(binary),
        Err(no_wheel) => bail!("{no_wheel}"),
    });
    runner.code_cache_dir(Some(workspace::target().join("tmp/tidegate-cache/code")))
}

/// The arguments of a test program that waits for other processes more than it computes: unless they say otherwise, it runs twice as many
/// tests at once as there are cores.
pub fn waiting(mut arguments: Arguments) -> Arguments {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.get_or_insert(2 * cores);
    arguments
}

/// Runs the tests of a program, or says why it has none.
pub fn run(arguments: &Arguments, trials: Result<Vec<Trial>>) -> ExitCode {
    match trials {
        Ok(trials) => libtest_mimic::run(arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The Envoy binary of a release, or why there is none for this platform.
pub fn envoy(release: Release) -> Result<Result<PathBuf, NoWheel>> {
    // What failed once fails for every test, and is not tried for each.
    static FETCHED: [OnceLock<Result<Result<PathBuf, NoWheel>, String>>; Release::ALL.len()] =
        [const { OnceLock::new() }; Release::ALL.len()];
    FETCHED[release as usize]
        .get_or_init(|| {
            let folder = workspace::target().join("envoy");
            match fetched(release, &folder) {
                Ok(binary) => Ok(Ok(binary)),
                Err(error) => match error.downcast::<NoWheel>() {
                    Ok(no_wheel) => Ok(Err(no_wheel)),
                    Err(error) => Err(format!("{error:#}")),
                },
            }
        })
        .clone()
        .map_err(|error| anyhow!(error))
}

/// The READMEs' examples are compiled. The SDK compiles its own, and the plugin on the root page is a template that the command line's
/// tests build.
#[cfg(doctest)]
mod readmes {
    #[doc = include_str!("../../adapter/README.md")]
    struct Adapter;
    #[doc = include_str!("../../deploy/README.md")]
    struct Deploy;
    #[doc = include_str!("../../host/README.md")]
    struct Host;
    #[doc = include_str!("../../host/cli/README.md")]
    struct Cli;
    #[doc = include_str!("../../oci/README.md")]
    struct Oci;
    #[doc = include_str!("../../testkit/README.md")]
    struct Testkit;
}
