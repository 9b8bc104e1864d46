//! The findings in all inputs, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use tidegate_adapter::Envoy;
use tidegate_deploy::istio::release::Istio;
use tidegate_deploy::istio::validate::Severity;
use tidegate_deploy::yaml::{Location, Position};
use tidegate_testkit::report::terminal;

/// The findings in all inputs.
pub struct Report {
    istio: Istio,
    envoy: Option<Envoy>,
    inputs: Vec<Input>,
    documents: usize,
    skipped: usize,
    errors: usize,
    warnings: usize,
}

/// An input with its findings.
struct Input {
    name: String,
    kind: &'static str,
    /// Facts about it, such as its digest.
    facts: Map<String, Value>,
    findings: Vec<Found>,
}

/// A finding with its position.
pub struct Found {
    /// The position in a manifest.
    pub position: Option<Position>,
    pub severity: Severity,
    pub rule: String,
    /// The document's kind.
    pub kind: Option<String>,
    pub field: String,
    pub message: String,
}

/// Counts for a file of manifests.
pub struct Counts {
    pub documents: usize,
    pub skipped: usize,
    pub errors: usize,
    pub warnings: usize,
}

/// The kind of an input that contains manifests.
const MANIFESTS: &str = "manifests";

// === impl Report ===

impl Report {
    pub fn new(istio: Istio, envoy: Option<Envoy>) -> Self {
        Self {
            istio,
            envoy,
            inputs: Vec::new(),
            documents: 0,
            skipped: 0,
            errors: 0,
            warnings: 0,
        }
    }

    /// Adds a plugin or an image, with facts about it.
    pub fn add_input(&mut self, name: &str, kind: &'static str, facts: Map<String, Value>) {
        self.inputs.push(Input {
            name: name.to_owned(),
            kind,
            facts,
            findings: Vec::new(),
        });
    }

    /// Adds a file of manifests. There can be fewer findings than `counts` contains.
    pub fn add_text(&mut self, name: &str, counts: &Counts, findings: Vec<Found>) {
        self.add_input(name, MANIFESTS, Map::new());
        self.documents += counts.documents;
        self.skipped += counts.skipped;
        self.errors += counts.errors;
        self.warnings += counts.warnings;
        if let Some(input) = self.inputs.last_mut() {
            input.findings = findings;
        }
    }

    /// Adds a finding about the plugin or image that was added last.
    pub fn add(&mut self, severity: Severity, rule: &str, message: String) {
        let Some(input) = self.inputs.last_mut() else {
            debug_assert!(false, "a finding without an input");
            return;
        };
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Note => {}
        }
        input.findings.push(Found {
            position: None,
            severity,
            rule: rule.to_owned(),
            kind: None,
            field: String::new(),
            message,
        });
    }

    pub fn has_manifests(&self) -> bool {
        self.inputs.iter().any(|it| it.kind == MANIFESTS)
    }

    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    pub fn has_plugins(&self) -> bool {
        self.inputs.iter().any(|it| it.kind != MANIFESTS)
    }

    pub fn is_failure(&self, strict: bool) -> bool {
        self.errors > 0 || (strict && self.warnings > 0)
    }

    /// The text output: one line for each finding, and one with facts for each plugin and image.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for input in &self.inputs {
            if let Some(line) = input.line() {
                terminal::escape(&line, &mut text);
                text.push('\n');
            }
            for found in &input.findings {
                terminal::escape(&found.line(&input.name), &mut text);
                text.push('\n');
            }
        }
        text
    }

    pub fn json(&self) -> Value {
        let envoy: Vec<_> = match self.envoy {
            Some(release) => vec![release.name()],
            None => Envoy::ALL.map(Envoy::name).to_vec(),
        };
        let inputs = self.inputs.iter().map(|input| {
            let mut value = input.facts.clone();
            value.insert("input".to_owned(), json!(input.name));
            value.insert("kind".to_owned(), json!(input.kind));
            Value::Object(value)
        });
        let findings = self
            .inputs
            .iter()
            .flat_map(|input| input.findings.iter().map(move |found| (input, found)));
        let findings = findings.map(|(input, found)| {
            json!({
                "input": input.name,
                "line": found.position.map(|it| it.line),
                "column": found.position.map(|it| it.column),
                "severity": found.severity.to_string(),
                "rule": found.rule,
                "kind": found.kind,
                "field": found.field,
                "message": found.message,
            })
        });
        json!({
            "istio": self.istio.name(),
            "envoy": envoy,
            "inputs": inputs.collect::<Vec<_>>(),
            "documents": self.documents,
            "skipped": self.skipped,
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    /// The summary: what was checked, against which releases, and the number of findings.
    pub fn summary(&self) -> String {
        let others = self.inputs.iter().filter(|it| it.kind != MANIFESTS).count();
        let mut checked = Vec::new();
        if others > 0 {
            checked.push(counted(others, "plugin"));
        }
        if self.has_manifests() {
            let skipped = match self.skipped {
                0 => String::new(),
                skipped => format!(" ({skipped} of other kinds skipped)"),
            };
            checked.push(format!("{}{skipped}", counted(self.documents, "document")));
        }
        let envoy = match (self.envoy, Envoy::ALL) {
            (Some(release), _) => format!("Envoy {release}"),
            (None, [oldest, .., newest]) => format!("Envoy {oldest} to {newest}"),
        };
        let is_image = |it: &Input| it.kind == "image";
        let istio = (self.has_manifests() || self.inputs.iter().any(is_image))
            .then(|| format!("Istio {}", self.istio));
        let judges: Vec<_> = istio
            .into_iter()
            .chain((others > 0).then_some(envoy))
            .collect();
        format!(
            "checked {} against {}: {}, {}",
            checked.join(" and "),
            judges.join(" and "),
            counted(self.errors, "error"),
            counted(self.warnings, "warning")
        )
    }
}

// === impl Input ===

impl Input {
    /// The line with the facts about a plugin or an image.
    fn line(&self) -> Option<String> {
        if self.facts.is_empty() {
            return None;
        }
        let fact = |name| match self.facts.get(name)? {
            Value::String(value) => Some(value.clone()),
            value => Some(value.to_string()),
        };
        let labelled = |label: &str, name| fact(name).map(|value| format!("{label} {value}"));
        let kind = match self.kind {
            "module" => None,
            kind => Some(
                [kind.to_owned()]
                    .into_iter()
                    .chain(fact("digest"))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        };
        let parts = [
            kind,
            labelled("index", "index"),
            labelled("layout", "layout"),
            labelled("module", "module"),
            fact("size").map(|size| format!("{size} bytes")),
            labelled("ABI", "abi"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        Some(format!("{}: {}", self.name, parts.join(", ")))
    }
}

// === impl Found ===

impl Found {
    fn line(&self, input: &str) -> String {
        let location = Location::new(input, self.position);
        let mut line = format!("{location}: {}: ", self.severity);
        if !self.field.is_empty() {
            let _ = write!(line, "{}: ", self.field);
        }
        let _ = write!(line, "{} [{}]", self.message, self.rule);
        line
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
