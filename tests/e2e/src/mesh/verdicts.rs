//! The API server's verdict on every fixture of `tidegate check`, compared with the fixture's table and with `tests/istio/VERDICTS`, which
//! also contains the rejecting component.
//!
//! Each document is created as by `kubectl apply`, with strict field validation, and applied as by `kubectl apply --server-side`, in both
//! cases without storing anything. The table applies to the former; differences of the latter are recorded. The whole path is tested:
//! decoding, the schema, CEL rules, istiod's webhook.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tidegate_istio_fixtures::{Fixture, Verdict as Expected};

use super::control_plane::ControlPlane;
use super::parts::{self, Parts};
use xtask::{http, shell};

/// Compares the verdict on every fixture. `bless` writes the verdicts to the file; they must match the fixtures' tables nevertheless.
pub fn check(parts: &Parts, plane: &ControlPlane, bless: bool) -> Result<()> {
    let judge = Judge {
        plane,
        rules: cel_messages(&parts::read(&parts.crds)?),
    };
    let fixtures = tidegate_istio_fixtures::fixtures()?;
    make_namespaces(&fixtures, plane)?;
    let folder = tempfile::tempdir().context("failed to create a temporary directory")?;
    let mut verdicts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for fixture in &fixtures {
        let name = fixture.name();
        let (created, applied) = judge
            .verdicts(&fixture.write(folder.path())?)
            .with_context(|| format!("no verdict on {name}"))?;
        if is_good(fixture) != created.admits() {
            wrong.push(format!("{name} is {created:#}"));
        }
        let other = applied.filter(|applied| applied.admits() != created.admits());
        let other = other.map(|applied| format!("; by server-side apply {applied}"));
        let (kind, case) = name.split_once('/').unwrap_or(("", &name));
        verdicts
            .entry(case.trim_end_matches(".yaml").to_owned())
            .or_default()
            .insert(
                kind.to_owned(),
                format!("{created}{}", other.unwrap_or_default()),
            );
    }
    let written = compare(
        &tidegate_istio_fixtures::folder().join("VERDICTS"),
        &lines(&verdicts),
        bless,
    );
    ensure!(
        wrong.is_empty(),
        "the API server disagrees with the tables on\n{}",
        wrong.join("\n")
    );
    written?;
    shell::say(&format!(
        "the API server agrees with the tables on all {} fixtures",
        fixtures.len()
    ));
    Ok(())
}

/// Requests verdicts from the API server.
struct Judge<'a> {
    plane: &'a ControlPlane,
    /// The messages of the CRDs' CEL rules, which distinguish them from errors of the schema.
    rules: BTreeSet<String>,
}

/// The API server's verdict.
enum Verdict {
    Admitted,
    Refused { by: &'static str, message: String },
}

/// The fields of Kubernetes' `Status` that are used.
#[derive(Deserialize)]
struct Status {
    message: String,
    reason: Option<String>,
}

/// Formats the verdicts: one line per case, or one line per kind if the case exists for only one kind or the verdicts differ.
fn lines(verdicts: &BTreeMap<String, BTreeMap<String, String>>) -> String {
    let mut lines = String::new();
    for (case, kinds) in verdicts {
        let different: BTreeSet<&String> = kinds.values().collect();
        if let ([verdict], true) = (
            &different.into_iter().collect::<Vec<_>>()[..],
            kinds.len() > 1,
        ) {
            lines += &format!("{case}: {verdict}\n");
            continue;
        }
        for (kind, verdict) in kinds {
            lines += &format!("{case}, {kind}: {verdict}\n");
        }
    }
    lines
}

/// Creates the namespaces of valid documents.
fn make_namespaces(fixtures: &[Fixture], plane: &ControlPlane) -> Result<()> {
    let mut namespaces = BTreeSet::new();
    for fixture in fixtures.iter().filter(|fixture| is_good(fixture)) {
        namespaces.insert(Target::of(&fixture.text).namespace.to_owned());
    }
    for namespace in namespaces {
        if plane.kubectl(&["get", "namespace", &namespace]).is_err() {
            plane.kubectl(&["create", "namespace", &namespace])?;
        }
    }
    Ok(())
}

/// Returns whether the API server must admit the document. Tidegate may warn about it.
fn is_good(fixture: &Fixture) -> bool {
    fixture.verdict != Expected::Invalid
}

/// Returns the messages of all CEL rules. In the CRDs, each is on a separate line.
fn cel_messages(crds: &str) -> BTreeSet<String> {
    crds.lines()
        .filter_map(|line| line.trim().strip_prefix("- message: "))
        .map(|message| message.trim_matches(['\'', '"']).to_owned())
        .collect()
}

/// Returns an error if the verdicts differ from those in the file. `bless` writes the file instead.
fn compare(path: &Path, found: &str, bless: bool) -> Result<()> {
    let written = fs::read_to_string(path).unwrap_or_default();
    if bless {
        return parts::write(path, found);
    }
    let only = |in_these: &str, not_in: &str, sign: char| -> Vec<String> {
        let not_in: BTreeSet<&str> = not_in.lines().collect();
        let lines = in_these.lines().filter(|line| !not_in.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let drift = [only(&written, found, '-'), only(found, &written, '+')].concat();
    ensure!(
        drift.is_empty(),
        "the API server's verdicts differ from {} (`cargo xtask e2e mesh --bless` updates the file):\n{}",
        path.display(),
        drift.join("\n")
    );
    Ok(())
}

/// The URL components of a document, as far as they can be determined. The document may be invalid in any way.
struct Target<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: Option<&'a str>,
}

// === impl Judge ===

impl Judge<'_> {
    /// Returns the verdicts for creating and for applying the document.
    fn verdicts(&self, path: &Path) -> Result<(Verdict, Option<Verdict>)> {
        let document = &parts::read(path)?;
        let target = Target::of(document);
        let collection = format!(
            "/apis/extensions.istio.io/v1alpha1/namespaces/{}/{}s",
            target.namespace,
            target.kind.to_ascii_lowercase()
        );
        let created = self.ask(&format!("POST {collection}"), "application/yaml", document)?;
        if created.is_of_duplicates() {
            let created = self.ask_kubectl(&["create"], path);
            let applied = self.ask_kubectl(&["apply", "--server-side"], path);
            return Ok((created, Some(applied)));
        }
        let apply = |name| {
            let object = format!("PATCH {collection}/{name}");
            self.ask(&object, "application/apply-patch+yaml", document)
        };
        // Without a name, kubectl does not send a request.
        Ok((created, target.name.map(apply).transpose()?))
    }

    /// The API server rejects duplicate keys, including those from a merge. kubectl does not send any, because it converts the document to
    /// JSON first.
    fn ask_kubectl(&self, command: &[&str], path: &Path) -> Verdict {
        let path = path.to_string_lossy();
        let dry_run = ["--dry-run=server", "-f", &path];
        match self.plane.kubectl(&[command, &dry_run].concat()) {
            Ok(_) => Verdict::Admitted,
            Err(error) => Verdict::Refused {
                by: "kubectl",
                message: format!("{error:#}"),
            },
        }
    }

    fn ask(&self, what: &str, content_type: &str, document: &str) -> Result<Verdict> {
        // HTTP/1.0 has no chunked encoding.
        let request = format!(
            "{what}?dryRun=All&fieldValidation=Strict&fieldManager=kubectl HTTP/1.0\r\nhost: {}\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n{document}",
            self.plane.api,
            document.len()
        );
        let answer = http::send(self.plane.api, &request)?;
        match answer.status {
            200 | 201 => Ok(Verdict::Admitted),
            // The document is valid. It contains a uid, which cannot match because the object does not exist.
            409 => Ok(Verdict::Admitted),
            400 | 403 | 404 | 422 => self.refused(&answer.body),
            // The response of server-side apply to a document that does not match the CRD's schema.
            500 if answer.body.contains("failed to create typed patch object") => {
                self.refused(&answer.body)
            }
            status => bail!("the API server responded with {status}: {}", answer.body),
        }
    }

    fn refused(&self, body: &str) -> Result<Verdict> {
        let Status { message, reason } = serde_json::from_str(body)
            .with_context(|| format!("the response is not a Status: {body}"))?;
        let by = if message.contains("admission webhook") {
            "webhook"
        } else if reason.as_deref() == Some("NotFound") {
            "namespace"
        } else if reason.as_deref() != Some("Invalid") {
            "decoding"
        } else if self.rules.iter().any(|rule| message.contains(rule)) {
            "CEL"
        } else {
            "schema"
        };
        Ok(Verdict::Refused { by, message })
    }
}

// === impl Target ===

impl<'a> Target<'a> {
    /// Reads the components from the text. In the fixtures, `metadata` precedes `spec` and contains no other fields with these names.
    fn of(document: &'a str) -> Target<'a> {
        let head = document
            .split_once("spec")
            .map_or(document, |(head, _)| head);
        Target {
            kind: ["WasmPlugin", "TrafficExtension"]
                .into_iter()
                .find(|kind| document.contains(kind))
                .unwrap_or("WasmPlugin"),
            namespace: value(head, "namespace").unwrap_or("default"),
            name: value(head, "name"),
        }
    }
}

/// Returns the value of a key, in YAML or JSON.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quotes = ['"', '\''];
    text.match_indices(key).find_map(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + key.len()..]);
        let inside = before.ends_with(|char: char| char.is_alphanumeric());
        let behind = behind.trim_start_matches(quotes).strip_prefix(':')?;
        let end = behind.find([',', '}', '\n']).unwrap_or(behind.len());
        let value = behind[..end].trim().trim_matches(quotes);
        (!inside && !value.is_empty()).then_some(value)
    })
}

// === impl Verdict ===

impl Verdict {
    fn admits(&self) -> bool {
        matches!(self, Self::Admitted)
    }

    fn is_of_duplicates(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains("already set in map"))
    }
}

impl fmt::Display for Verdict {
    /// The alternate form includes the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted => f.write_str("admitted"),
            Self::Refused { by, message } if f.alternate() => {
                write!(f, "refused by {by}: {message}")
            }
            Self::Refused { by, .. } => write!(f, "refused by {by}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_read_from_yaml_and_json() {
        let of = |document| {
            let target = Target::of(document);
            (target.kind, target.namespace, target.name)
        };
        assert_eq!(
            of(
                "kind: TrafficExtension\nmetadata:\n  generateName: a-\n  name: b\n  namespace: \"c\"\nspec: {}\n"
            ),
            ("TrafficExtension", "c", Some("b"))
        );
        assert_eq!(
            of(r#"{"kind": "WasmPlugin", "metadata": {"name": "b"}, "spec": {"url": "oci://d"}}"#),
            ("WasmPlugin", "default", Some("b"))
        );
        // Fields of the `spec` are ignored.
        assert_eq!(
            of("kind: []\nspec:\n  targetRefs:\n  - { name: b, namespace: c }\n"),
            ("WasmPlugin", "default", None)
        );
    }
}
