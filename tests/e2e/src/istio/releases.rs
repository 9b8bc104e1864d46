//! Releases: `tidegate check --istio RELEASE` admits exactly what the API server admits with that release's CRDs.
//!
//! The CRDs come from `istio.io/api`, which has a version for every release. istiod's webhook is that of the judge, because its rules for
//! these kinds are the same in all releases.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tidegate_istio_fixtures::fixtures;

use super::judge::Judge;
use super::{Report, Setup, documents, toolchain};

/// Each release, the module that contains its CRDs, and the module's checksum as in `go.sum`.
const RELEASES: [(&str, &str, &str); 4] = [
    (
        "1.28",
        "istio.io/api@v1.28.0",
        "h1:0fYY9G03CAdFwE/fCkpr0v7kKsy+Hz9OCCjLNBNLbnU=",
    ),
    (
        "1.29",
        "istio.io/api@v1.29.6",
        "h1:O7xvL89MJut2Lho0L27XDeB+WO8eb8seyDd9+zjaVGc=",
    ),
    (
        "1.30",
        "istio.io/api@v1.30.8",
        "h1:/weRNO9YbJsKqFibiGCjXG1i+UwNhJb3vts6ChGR554=",
    ),
    (
        "1.31",
        "istio.io/api@v1.31.4",
        "h1:AcnncYrlDj1PJkym7h88Gggkef4MAra8QpGaXRMsr+E=",
    ),
];

/// The path of the CRDs in the module.
const DEFINITIONS: &str = "kubernetes/customresourcedefinitions.gen.yaml";

/// Compares both verdicts on every fixture for every release.
pub fn compare(setup: &mut Setup) -> Result<Report> {
    let fixtures = fixtures()?;
    let folder = setup.scratch.path().join("fixtures-of-releases");
    let files = fixtures
        .iter()
        .map(|fixture| Ok(fixture.write(&folder)?.to_string_lossy().into_owned()))
        .collect::<Result<Vec<String>>>()?;
    let folder = folder.to_string_lossy();
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut admitted = Vec::new();
    for (release, module, sum) in RELEASES {
        let definitions = match toolchain::download(setup.scratch.path(), module, sum)? {
            Ok(folder) => folder.join(DEFINITIONS),
            Err(reason) => {
                println!("SKIPPED: Istio {release}'s CRDs: {reason}");
                continue;
            }
        };
        let mut judge = judge(setup, &definitions)?;
        let findings = setup.tidegate.validate(&["--istio", release, &folder])?;
        let mut ours = documents::by_file(findings);
        let mut count = 0;
        for (fixture, file) in fixtures.iter().zip(&files) {
            let verdicts = judge.validate(&fixture.text)?;
            let [istio] = &verdicts[..] else {
                continue;
            };
            let findings = ours.remove(file).unwrap_or_default();
            let errors = documents::errors(&findings);
            if istio.admitted() != errors.is_empty() {
                differences.push(format!(
                    "{} in Istio {release}: Istio says: {}; tidegate says: {}",
                    fixture.name(),
                    istio.words(),
                    documents::words(&findings)
                ));
            }
            count += usize::from(istio.admitted());
            compared += 1;
        }
        admitted.push(count);
    }
    // Otherwise the option would have no effect.
    ensure!(
        admitted.len() < RELEASES.len() || admitted.first() < admitted.last(),
        "all releases admit the same documents: {admitted:?}"
    );
    Ok(Report {
        compared: format!("{compared} verdicts of {} releases", admitted.len()),
        differences,
    })
}

/// Starts a judge with the CRDs of another release.
fn judge(setup: &Setup, definitions: &Path) -> Result<Judge> {
    Judge::start(
        &setup.judge_binary,
        &[definitions.to_owned()],
        setup.scratch.path(),
    )
    .with_context(|| format!("failed to start a judge with {}", definitions.display()))
}
