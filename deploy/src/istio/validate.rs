//! Whether Istio admits a document: the judgement of the API server (schema, CEL rules, metadata) and of istiod's webhook, with
//! the place of everything that is wrong, and warnings for what they admit and then get wrong.
//!
//! The rules are data: `crds.txt` lists the constraints of Istio's CRDs, `table.rs` adds what no schema says, [`rules`] lists all, and
//! Istio's own code judges documents that keep and break each, in this repository's end-to-end tests. `document.rs` says which
//! documents there are, `walk.rs` holds one against the table, `checks.rs` has the rules that are more than a number, `url.rs` Go's idea of a URL,
//! `warnings.rs` the rows that refuse nothing.
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

/// More findings of one severity in one document are counted and not kept.
const MOST_FINDINGS: usize = 100;

/// The API group of both kinds.
const GROUP: &str = "extensions.istio.io/";

/// How the names of Istio's API groups end. A kind of the same name in another group is another kind.
const DOMAIN: &str = ".istio.io";

/// The kinds that are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A Wasm plugin, and nothing else.
    WasmPlugin,
    /// Since Istio 1.30: a Wasm plugin or a Lua script.
    TrafficExtension,
}

/// Who has a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Kubernetes, of any object.
    Object,
    /// The schema in the CRD.
    Schema,
    /// `kubectl apply`, whose validation is strict unless told otherwise. By itself the API server drops unknown fields.
    Strict,
    /// The CRD's rules in CEL.
    Cel,
    /// istiod's webhook.
    Webhook,
    /// Nobody refuses it.
    Warning,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in findings, and by its fixtures.
    pub id: String,
    /// Of which documents it is asked.
    pub kind: Kind,
    /// The field that it is about.
    pub field: String,
    /// Who asks it.
    pub origin: Origin,
    /// The rule in a few words.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Istio refuses the document.
    Error,
    /// Istio admits the document, and it does not mean what it seems to.
    Warning,
    /// Good to know, and no reason to change anything.
    Note,
}

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// The rule's identifier.
    pub rule: String,
    /// The document's kind; none where it is of none at all.
    pub kind: Option<Kind>,
    /// Where in the text.
    pub position: Position,
    /// Which field, such as `spec.match[0].ports[1].number`.
    pub field: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

/// What is known beside the documents.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The SHA-256 of the module that is to run, in hexadecimal digits.
    pub module_sha256: Option<String>,
    /// The release of Istio that judges.
    pub release: Istio,
}

/// What is wrong with a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of their places. Of a document's errors and of its warnings, the first hundred are kept.
    pub findings: Vec<Finding>,
    /// How many findings refuse a document.
    pub errors: usize,
    /// How many findings refuse nothing.
    pub warnings: usize,
    /// How many documents were judged.
    pub judged: usize,
    /// How many documents are of other kinds.
    pub skipped: usize,
}

/// Every rule, those of a kind together.
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

/// Judges all documents of a text.
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
    /// The kind of a document that is, or is meant to be, one of these.
    fn of(root: &Node) -> Option<Self> {
        let text = |name| root.get(name).and_then(Node::text);
        if foreign_group(root).is_some() {
            return None;
        }
        if let Some(kind) = text("kind").and_then(Self::named) {
            return Some(kind);
        }
        // In Istio's group there are no others, so that this is one of them with its kind misspelt.
        text("apiVersion").filter(|version| version.starts_with(GROUP))?;
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

    /// The first release that serves it.
    fn since(self) -> Istio {
        match self {
            Self::WasmPlugin => Istio::V1_28,
            Self::TrafficExtension => Istio::V1_30,
        }
    }
}

/// The API group of a document that has the name of one of the kinds and is not Istio's, such as Higress' WasmPlugin.
fn foreign_group(root: &Node) -> Option<&str> {
    let text = |name| root.get(name).and_then(Node::text);
    text("kind").and_then(Kind::named)?;
    let (group, _) = text("apiVersion")?.split_once('/')?;
    (!group.ends_with(DOMAIN)).then_some(group)
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
            // There is one for a document at most.
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
