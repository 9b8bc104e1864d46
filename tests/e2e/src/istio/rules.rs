//! Drift: whether Istio's CRDs still contain the rules on which `tidegate check` is based.
//!
//! `crds.txt` lists them, one per line: kind, version, path, keyword, value. The judge generates the same list from Istio's module.
//! `BLESS=1` updates the file, and with it most of the table that `validate` uses. CEL rules must be implemented by hand in `checks.rs` and
//! `table.rs`: a test there reports missing ones.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::{Report, Setup};

/// The path below the workspace's root.
const CRDS: &str = "deploy/src/istio/validate/crds.txt";

/// The kinds that `tidegate check` validates.
const KINDS: [&str; 2] = ["TrafficExtension", "WasmPlugin"];

/// Compares the two lists.
pub fn compare(setup: &mut Setup) -> Result<Report> {
    let path = setup.root.join(CRDS);
    let istio = setup.judge.rules(&KINDS)?;
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, istio.join("\n") + "\n")
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    let ours = fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}; BLESS=1 writes it", path.display()))?;
    Ok(Report {
        compared: format!("{} rules of the CRDs", istio.len()),
        differences: drift(ours.lines(), istio.iter().map(String::as_str)),
    })
}

/// Returns the lines that are only in one of the lists.
fn drift<'a>(
    ours: impl Iterator<Item = &'a str>,
    istio: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let ours: BTreeSet<&str> = ours.collect();
    let istio: BTreeSet<&str> = istio.collect();
    let gone = ours
        .difference(&istio)
        .map(|rule| format!("Istio's CRDs no longer have the rule\n  {rule}"));
    let came = istio
        .difference(&ours)
        .map(|rule| format!("Istio's CRDs have a rule that `check` does not implement\n  {rule}"));
    gone.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_rule_is_reported_as_removed_and_added() {
        let ours = ["WasmPlugin v1alpha1 .spec.url minLength 1", "same"];
        let istio = ["same", "WasmPlugin v1alpha1 .spec.url minLength 2"];
        let differences = drift(ours.into_iter(), istio.into_iter());
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert!(differences[0].contains("no longer") && differences[0].ends_with("minLength 1"));
        assert!(
            differences[1].contains("does not implement")
                && differences[1].ends_with("minLength 2")
        );
        assert!(drift(ours.into_iter(), ours.into_iter()).is_empty());
    }
}
