//! `tidegate validate`: whether Istio will admit manifests, and what it will get wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_adapter::{VerifyError, adapt, check};
use tidegate_deploy::istio::validate::{Options, Report, Severity, validate};
use tidegate_deploy::yaml;
use tidegate_oci::Digest;
use tidegate_testkit::report::terminal;

use crate::format::FormatArgs;
use crate::manifests::ManifestArgs;
use crate::{file, logs};

/// Validate WasmPlugins and TrafficExtensions as Istio does, and warn about mistakes that Istio accepts
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Validate {
    #[command(flatten)]
    manifests: ManifestArgs,

    /// The module that the manifests refer to. Warns if they contain its checksum in place of the image digest
    #[arg(long, value_name = "MODULE.wasm")]
    module: Option<PathBuf>,

    /// Fail on warnings
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidegate validate -f greeter.yaml
  tidegate validate -f manifests/ --strict
  tidegate validate -f greeter.yaml --module greeter.proxy.wasm
  kubectl get wasmplugins -A -o yaml | tidegate validate -f - --format json

In text, each finding is one line: `FILE:LINE:COLUMN: error: [FIELD: ]MESSAGE [RULE]`. Errors are what the API server and istiod's webhook reject on `kubectl apply`. Documents of other kinds are skipped.";

/// What was found in one file.
struct Judged {
    name: String,
    findings: Vec<Found>,
}

/// A finding in whichever file, or the reason why there is none.
struct Found {
    line: usize,
    column: usize,
    severity: Severity,
    rule: String,
    kind: Option<String>,
    field: String,
    message: String,
}

/// What was found altogether.
#[derive(Default)]
struct Sum {
    files: Vec<Judged>,
    judged: usize,
    skipped: usize,
    errors: usize,
    warnings: usize,
}

// === impl Validate ===

impl Validate {
    pub fn execute(self) -> anyhow::Result<()> {
        let mut options = Options::default();
        if let Some(module) = &self.module {
            let mut bytes = file::read(module)?;
            if check(&bytes) == [VerifyError::Component] {
                // What is deployed of it is what it is adapted to.
                bytes = adapt(&bytes, &tidegate_adapter::Options::default())
                    .with_context(|| format!("cannot adapt `{}`", module.display()))?;
            }
            options.module_sha256 = Some(Digest::of(&bytes).hex().to_owned());
        }
        let mut sum = Sum::default();
        for file in self.manifests.read()? {
            sum.add(file.name, &file.bytes, &options);
        }
        let text = if self.format.is_json() {
            format!("{:#}\n", sum.json())
        } else {
            sum.text()
        };
        file::write(Path::new("-"), text.as_bytes())?;
        let (errors, warnings) = (
            counted(sum.errors, "error"),
            counted(sum.warnings, "warning"),
        );
        let of = format!(
            "{errors} and {warnings} in {}{}",
            counted(sum.judged, "document"),
            match sum.skipped {
                0 => String::new(),
                skipped => format!(", {skipped} of other kinds skipped"),
            }
        );
        if sum.errors > 0 || (self.strict && sum.warnings > 0) {
            bail!("{of}");
        }
        logs::note(&of);
        Ok(())
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, name: String, bytes: &[u8], options: &Options) {
        let report = validate(&yaml::decode(bytes), options);
        let findings = match report {
            Ok(report) => self.count(report),
            Err(error) => {
                self.errors += 1;
                vec![Found {
                    line: error.position.line,
                    column: error.position.column,
                    severity: Severity::Error,
                    rule: "yaml.syntax".into(),
                    kind: None,
                    field: String::new(),
                    message: error.message,
                }]
            }
        };
        self.files.push(Judged { name, findings });
    }

    fn count(&mut self, report: Report) -> Vec<Found> {
        self.judged += report.judged;
        self.skipped += report.skipped;
        self.errors += report.errors;
        self.warnings += report.warnings;
        let findings = report.findings.into_iter();
        findings
            .map(|finding| Found {
                line: finding.position.line,
                column: finding.position.column,
                severity: finding.severity,
                rule: finding.rule,
                kind: finding.kind.map(|kind| kind.to_string()),
                field: finding.field,
                message: finding.message,
            })
            .collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            for found in &file.findings {
                let mut line = format!(
                    "{}:{}:{}: {}: ",
                    file.name, found.line, found.column, found.severity
                );
                if !found.field.is_empty() {
                    line.push_str(&found.field);
                    line.push_str(": ");
                }
                let _ = write!(line, "{} [{}]", found.message, found.rule);
                terminal::escape(&line, &mut text);
                text.push('\n');
            }
        }
        text
    }

    fn json(&self) -> Value {
        let findings = self.files.iter().flat_map(|file| {
            file.findings.iter().map(|found| {
                json!({
                    "file": file.name,
                    "line": found.line,
                    "column": found.column,
                    "severity": found.severity.to_string(),
                    "rule": found.rule,
                    "kind": found.kind,
                    "field": found.field,
                    "message": found.message,
                })
            })
        });
        json!({
            "documents": self.judged,
            "skipped": self.skipped,
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
