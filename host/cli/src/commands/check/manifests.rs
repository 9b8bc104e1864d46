//! Checks manifests as the API server and istiod would.

use tidegate_deploy::istio::validate::{Options, Severity, validate};
use tidegate_deploy::yaml;

use super::Question;
use super::report::{Counts, Found, Report};
use crate::logs;

pub(super) fn check(name: &str, bytes: &[u8], question: &Question<'_>, report: &mut Report) {
    let options = Options {
        module_sha256: question.module.clone(),
        release: question.args.istio.unwrap_or_default(),
    };
    match validate(&yaml::decode(bytes), &options) {
        Ok(found) => {
            let counts = Counts {
                documents: found.judged,
                skipped: found.skipped,
                errors: found.errors,
                warnings: found.warnings,
            };
            logs::detail(|| {
                format!(
                    "`{name}`: {} documents checked with the rules of Istio {}, {} skipped",
                    counts.documents, options.release, counts.skipped
                )
            });
            let findings = found.findings.into_iter().map(|finding| Found {
                position: Some(finding.position),
                severity: finding.severity,
                rule: finding.rule,
                kind: finding.kind.map(|kind| kind.to_string()),
                field: finding.field,
                message: finding.message,
            });
            report.add_text(name, &counts, findings.collect());
        }
        Err(error) => {
            let counts = Counts {
                documents: 0,
                skipped: 0,
                errors: 1,
                warnings: 0,
            };
            let finding = Found {
                position: Some(error.position),
                severity: Severity::Error,
                rule: "yaml.syntax".to_owned(),
                kind: None,
                field: String::new(),
                message: error.message,
            };
            report.add_text(name, &counts, vec![finding]);
        }
    }
}
