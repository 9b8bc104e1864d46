//! Validation of Istio resources. Reproduces the checks of the API server (schema, CEL rules and metadata) and of istiod's
//! validating webhook, reports the position of every error, and warns about documents that are admitted but do not work as
//! intended.
//!
//! The rules are data. `crds.txt` lists the constraints of Istio's CRDs, `table.rs` adds the rules that are in no schema,
//! and [`rules`] returns all of them. The end-to-end tests in this repository check every rule against Istio's own code,
//! with documents that satisfy the rule and documents that violate it. `document.rs` classifies documents, `walk.rs` checks
//! a document against the table, `checks.rs` implements the rules that are more complex than a numeric limit, `url.rs`
//! reproduces Go's URL parser, and `warnings.rs` implements the warnings.
//!
//! ```
//! use tidegate_deploy::istio::validate::{Options, validate};
//!
//! let report = validate(
//!     "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: greeter}\nspec:\n  url: registry:5000/greeter\n",
//!     &Options::default(),
//! )?;
//! assert_eq!(report.findings[0].rule, "url.scheme");
//! assert_eq!(report.findings[0].position.to_string(), "5:8");
//! # Ok::<(), tidegate_deploy::yaml::YamlError>(())
//! ```

mod checks;
mod document;
mod schema;
mod table;
pub(super) mod url;
mod walk;
mod warnings;

use std::fmt;

use crate::istio::release::Istio;
use crate::yaml::{self, Node, Position, YamlError};

/// The maximum number of findings of one severity that are kept for one document. Further findings are only counted.
const MOST_FINDINGS: usize = 100;

/// The API group of both kinds.
const GROUP: &str = "extensions.istio.io";

/// The suffix of Istio's API groups. A kind of the same name in any other group is a different kind.
const DOMAIN: &str = ".istio.io";

/// The kinds that are validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A Wasm plugin only.
    WasmPlugin,
    /// A Wasm plugin or a Lua script. Available since Istio 1.30.
    TrafficExtension,
}

/// The component that enforces a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Kubernetes, for objects of any kind.
    Object,
    /// The schema in the CRD.
    Schema,
    /// `kubectl apply`, which uses strict validation by default. The API server itself drops unknown fields.
    Strict,
    /// The CEL rules in the CRD.
    Cel,
    /// istiod's validating webhook.
    Webhook,
    /// No component enforces the rule; violations are reported as warnings.
    Warning,
}

/// A validation rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's identifier, which is used in findings and by the rule's test fixtures.
    pub id: String,
    /// The kind of document that the rule applies to.
    pub kind: Kind,
    /// The field that the rule applies to.
    pub field: String,
    /// The component that enforces the rule.
    pub origin: Origin,
    /// A short description of the rule.
    pub what: String,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Istio rejects the document.
    Error,
    /// Istio admits the document, but it does not have the apparent effect.
    Warning,
    /// Informational; no change is necessary.
    Note,
}

/// A problem in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The finding's severity, which determines whether the document is rejected.
    pub severity: Severity,
    /// The rule's identifier.
    pub rule: String,
    /// The document's kind. `None` if the document has neither of the validated kinds.
    pub kind: Option<Kind>,
    /// The position in the text.
    pub position: Position,
    /// The path of the field, such as `spec.match[0].ports[1].number`.
    pub field: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

/// Validation options: information that is not part of the documents.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The SHA-256 digest of the module to deploy, in hexadecimal.
    pub module_sha256: Option<String>,
    /// The Istio release to validate against.
    pub release: Istio,
}

/// The result of validating a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings, sorted by position. For each document, at most the first hundred errors and the first hundred warnings
    /// are kept.
    pub findings: Vec<Finding>,
    /// The number of findings that cause a document to be rejected.
    pub errors: usize,
    /// The number of findings that do not cause a document to be rejected.
    pub warnings: usize,
    /// The number of documents that were validated.
    pub judged: usize,
    /// The number of documents of other kinds, which were skipped.
    pub skipped: usize,
}

/// Returns all rules, grouped by kind.
pub fn rules() -> Vec<Rule> {
    [Kind::WasmPlugin, Kind::TrafficExtension]
        .into_iter()
        .flat_map(|kind| {
            let mut rows = schema::rows(kind, table::root(kind));
            rows.extend(warnings::rows(kind));
            rows
        })
        .collect()
}

/// Validates all documents in a text.
pub fn validate(text: &str, options: &Options) -> Result<Report, YamlError> {
    let mut report = Report::default();
    for document in yaml::parse(text)? {
        document::judge(&document.root, options, &mut report);
    }
    report.findings.sort_by(|one, other| {
        (one.position, one.severity, &one.rule).cmp(&(other.position, other.severity, &other.rule))
    });
    Ok(report)
}

// === impl Kind ===

impl Kind {
    /// Returns the kind of a document that has, or appears intended to have, one of these kinds.
    fn of(root: &Node) -> Option<Self> {
        if foreign_group(root).is_some() {
            return None;
        }
        if let Some(kind) = named_kind(root) {
            return Some(kind);
        }
        // Istio's API group has no other kinds, so this is one of them with its name misspelled.
        group(root).filter(|group| *group == GROUP)?;
        let has = |name| root.get("spec").and_then(|spec| spec.get(name)).is_some();
        Some(if has("wasm") || has("lua") {
            Self::TrafficExtension
        } else {
            Self::WasmPlugin
        })
    }
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "WasmPlugin" => Some(Self::WasmPlugin),
            "TrafficExtension" => Some(Self::TrafficExtension),
            _ => None,
        }
    }

    /// The first release that serves the kind.
    fn since(self) -> Istio {
        match self {
            Self::WasmPlugin => Istio::V1_28,
            Self::TrafficExtension => Istio::V1_30,
        }
    }
}

/// Returns the kind of a document, if it has the name of one of these kinds.
fn named_kind(root: &Node) -> Option<Kind> {
    root.get("kind").and_then(Node::text).and_then(Kind::named)
}

/// Returns the API group of a document.
fn group(root: &Node) -> Option<&str> {
    let version = root.get("apiVersion").and_then(Node::text)?;
    version.split_once('/').map(|(group, _)| group)
}

/// Returns the API group of a document whose kind has one of these names but does not belong to Istio, such as Higress'
/// WasmPlugin. A group whose name is nearly that of Istio's is treated as a spelling mistake: the document is
/// validated.
fn foreign_group(root: &Node) -> Option<&str> {
    named_kind(root)?;
    let group = group(root)?;
    let is_istios = group.ends_with(DOMAIN) || walk::nearest(group, &[GROUP]).is_some();
    (!is_istios).then_some(group)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
        })
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Schema => "schema",
            Self::Strict => "strict",
            Self::Cel => "cel",
            Self::Webhook => "webhook",
            Self::Warning => "warning",
        })
    }
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

// === impl Report ===

impl Report {
    fn add(&mut self, finding: Finding) {
        let count = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            // There is at most one note per document.
            Severity::Note => return self.findings.push(finding),
        };
        *count += 1;
        if *count <= MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    fn take(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.errors += other.errors;
        self.warnings += other.warnings;
        self.judged += other.judged;
        self.skipped += other.skipped;
    }
}
