//! Sends requests through Envoy with the configuration of each profile, and compares what happens with the functions that imitate it.
//!
//! A test is `<release>/<profile>`. `host/src/proxy/profile/paths.tsv` contains targets of requests with their outcomes, and
//! `tests/profiles/fields.yaml` contains requests with the fields that the upstream and the client receive. Both are compared with Envoy
//! and with [`EdgeSettings`](tidegate_host::proxy::profile::EdgeSettings). `random_paths` compares generated targets. `BLESS=1` records
//! the outcomes in Envoy.
//!
//! `table` reads and writes the files, `wire` contains the client, the upstream and Envoy, and `imitation` applies the functions.

mod imitation;
mod table;
mod wire;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tidegate_host::proxy::profile::Profile;
use tidegate_testkit::envoy::Release;

use crate::table::{FieldCase, PathCase};
use crate::wire::Envoy;

fn main() -> ExitCode {
    let arguments = tidegate_tests::waiting(Arguments::from_args());
    tidegate_tests::run(&arguments, trials())
}

fn trials() -> Result<Vec<Trial>> {
    if std::env::var_os("BLESS").is_some() {
        bless()?;
    }
    let mut trials = Vec::new();
    for profile in Profile::ALL {
        for release in Release::ALL {
            let name = format!("{}/{profile}", release.runtime());
            trials.push(trial(name, move || in_envoy(release, profile)));
        }
        trials.push(trial(format!("imitation/{profile}"), move || {
            in_imitation(profile).map(|()| Completion::Completed)
        }));
    }
    Ok(trials)
}

fn trial(name: String, test: impl FnOnce() -> Result<Completion> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn in_envoy(release: Release, profile: Profile) -> Result<Completion> {
    let envoy = match Envoy::start(release, profile)? {
        Ok(envoy) => envoy,
        Err(no_wheel) => return Ok(Completion::ignored_with(no_wheel.to_string())),
    };
    let mut wrong = Vec::new();
    for case in table::paths()? {
        let expected = case.expected(release, profile);
        differ(
            &mut wrong,
            &case.target,
            expected,
            &envoy.path(&case.target)?,
        );
    }
    for case in table::fields()? {
        let actual = envoy.fields(&case.request)?;
        differ(&mut wrong, &case.name, case.expected(profile), &actual);
    }
    for target in random_paths(release) {
        let imitated = imitation::path(profile, &target);
        differ(&mut wrong, &target, &imitated, &envoy.path(&target)?);
    }
    ensure!(
        wrong.is_empty(),
        "`BLESS=1` records outcomes\n{}",
        wrong.join("\n")
    );
    Ok(Completion::Completed)
}

fn in_imitation(profile: Profile) -> Result<()> {
    let mut wrong = Vec::new();
    for case in table::paths()? {
        let expected = case.expected(Release::V1_40_0, profile);
        let actual = imitation::path(profile, &case.target);
        differ(&mut wrong, &case.target, expected, &actual);
    }
    for case in table::fields()? {
        let actual = imitation::fields(profile, &case.request)?;
        // With `envoy`, fields are neither added nor removed.
        let expected = match profile {
            Profile::Envoy => imitation::unchanged(&case.request)?,
            Profile::Istio | Profile::EnvoyGateway => case.expected(profile).to_owned(),
        };
        differ(&mut wrong, &case.name, &expected, &actual);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn differ(wrong: &mut Vec<String>, name: &str, expected: &str, actual: &str) {
    if expected != actual {
        wrong.push(format!(
            "{name}:\n--- expected\n{expected}\n--- actual\n{actual}"
        ));
    }
}

/// Records the outcomes of all cases.
fn bless() -> Result<()> {
    let mut paths: Vec<PathCase> = table::paths()?;
    let mut fields: Vec<FieldCase> = table::fields()?;
    for release in Release::ALL {
        for profile in Profile::ALL {
            let envoy = Envoy::start(release, profile)?.context("there is no Envoy")?;
            for case in &mut paths {
                let outcome = envoy.path(&case.target)?;
                case.record(release, profile, outcome);
            }
            if release == Release::V1_40_0 {
                for case in &mut fields {
                    case.record(profile, envoy.fields(&case.request)?);
                }
            }
        }
    }
    table::write(&paths, &fields)
}

/// Returns targets that are made of parts with a meaning. They are the same in each run.
fn random_paths(release: Release) -> Vec<String> {
    const PARTS: [&str; 36] = [
        "/", "/", "/", ".", "..", "%2e", "%2E", "%2F", "%2f", "\\", "%5c", "%5C", "%", "%2", "%4",
        "0", "1", "A", "f", "a", "z", "%30", "%41", "%61", "%7e", "%00", "%25", "%zz", "?", "#",
        ";", "..;", "\"", "{", "~", "//",
    ];
    // A linear congruential generator is random enough.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % below
    };
    let mut targets = Vec::new();
    for _ in 0..1000 {
        let length = 1 + next(10);
        let parts = (0..length).map(|_| PARTS[next(PARTS.len())]);
        let target: String = std::iter::once("/").chain(parts).collect();
        // Older releases do not remove the parameters of dot segments.
        if release == Release::V1_40_0 || !target.contains(".;") {
            targets.push(target);
        }
    }
    targets
}
