//! Documents: Istio admits exactly what `tidegate check` accepts.
//!
//! For each fixture, three verdicts must agree: the one in its table, Istio's and Tidegate's. For variations of whole documents (see
//! `variations`) and for texts that are hard to parse (see `texts` and `spoilt`), the last two must agree.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use tidegate_istio_fixtures::{Fixture, Verdict as Expected, fixtures};

use super::judge::Verdict;
use super::tidegate::Finding;
use super::variations::{self, Variation};
use super::{Report, Setup, spoilt, texts};

/// Istio's error for a text that is not YAML, and the rule that Tidegate reports for it.
const NOT_YAML: &str = "error converting YAML to JSON: yaml: ";
const SYNTAX: &str = "yaml.syntax";

/// The smallest valid module. The fixtures contain its checksum.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The number of variations in one file.
const CHUNK: usize = 1000;

/// The maximum number of differences of one kind that are shown. Many differences usually have few causes.
const SHOWN: usize = 20;

/// The inverse of the maximum share of spoilt manifests that may be parsed differently. `docs/istio.md` lists the known classes.
const DIFFERENT: usize = 20;

/// The line breaks that only YAML 1.1 recognizes, and the byte order mark.
const SEPARATORS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// Compares every document of `tests/istio/rules`.
pub fn compare_fixtures(setup: &mut Setup) -> Result<Report> {
    let folder = setup.scratch.path().join("fixtures");
    let fixtures = fixtures()?;
    let files = fixtures
        .iter()
        .map(|fixture| Ok(fixture.write(&folder)?.to_string_lossy().into_owned()))
        .collect::<Result<Vec<String>>>()?;
    let smallest = setup.scratch.path().join("smallest.wasm");
    fs::write(&smallest, MODULE).context("failed to write a module")?;
    let (folder, smallest) = (folder.to_string_lossy(), smallest.to_string_lossy());
    let mut ours = by_file(setup.tidegate.validate(&[&folder, "--module", &smallest])?);

    let mut differences = Vec::new();
    for (fixture, file) in fixtures.iter().zip(&files) {
        let name = fixture.name();
        let refused = fixture.verdict == Expected::Invalid;
        let verdicts = setup.judge.validate(&fixture.text)?;
        let [istio] = &verdicts[..] else {
            differences.push(format!("{name}: Istio reads {} documents", verdicts.len()));
            continue;
        };
        let findings = ours.remove(file).unwrap_or_default();
        if istio.admitted() == refused {
            differences.push(format!("{name}: Istio says: {}", istio.words()));
        }
        if errors(&findings).is_empty() == refused {
            differences.push(format!("{name}: tidegate says: {}", words(&findings)));
        }
        differences.extend(other_finding(fixture, &findings));
        if fixture.verdict == Expected::Warned && is_about_configuration(fixture) {
            let told = arrives(&fixture.text);
            if told != Some(istio.configuration.as_str()) {
                differences.push(format!(
                    "{name}: expected the configuration {}, but istiod passes `{}`",
                    told.map_or("(not stated)".to_owned(), |told| format!("`{told}`")),
                    istio.configuration
                ));
            }
        }
    }
    Ok(Report {
        compared: format!("{} fixtures", fixtures.len()),
        differences,
    })
}

/// Returns a difference if the findings do not match the fixture. An invalid fixture must violate its rule and no other. A fixture with a
/// warning must be reported for its rule. A valid fixture must not be reported for its rule.
fn other_finding(fixture: &Fixture, findings: &[Finding]) -> Option<String> {
    fixture.kind?;
    let rule = fixture.rule.as_str();
    let found: Vec<&str> = match fixture.verdict {
        Expected::Invalid => errors(findings),
        _ => findings.iter().collect(),
    }
    .iter()
    .map(|finding| finding.rule.as_str())
    .collect();
    let fits = match fixture.verdict {
        Expected::Invalid => found == [rule],
        Expected::Warned => found.contains(&rule),
        Expected::Valid => !found.contains(&rule),
    };
    (!fits).then(|| format!("{}: tidegate finds {found:?}", fixture.name()))
}

/// Returns whether the fixture's rule warns about how the plugin's configuration is transformed.
fn is_about_configuration(fixture: &Fixture) -> bool {
    fixture.rule.starts_with("pluginConfig.") || fixture.rule == "yaml.changed-key"
}

/// Returns the configuration that the fixture expects the plugin to receive. An empty string means no configuration.
fn arrives(text: &str) -> Option<&str> {
    let last = text.lines().last()?;
    last.strip_prefix("# arrives:").map(str::trim)
}

/// Compares every variation. A file contains many variations; each is one line, and lines are separated by `---`.
pub fn compare_variations(setup: &mut Setup) -> Result<Report> {
    let all = variations::all();
    let mut differences = Vec::new();
    for chunk in all.chunks(CHUNK) {
        let lines: Vec<String> = chunk
            .iter()
            .map(|variation| variation.document.to_string())
            .collect();
        let path = setup.scratch.path().join("variations.yaml");
        fs::write(&path, lines.join("\n---\n"))
            .with_context(|| format!("failed to write {}", path.display()))?;
        let mut ours: BTreeMap<usize, Vec<Finding>> = BTreeMap::new();
        for finding in setup.tidegate.validate(&[&path.to_string_lossy()])? {
            ours.entry(finding.line.saturating_sub(1) / 2)
                .or_default()
                .push(finding);
        }
        for (index, (Variation { change, .. }, line)) in chunk.iter().zip(&lines).enumerate() {
            let findings = ours.remove(&index).unwrap_or_default();
            // One document per request: Kubernetes' decoder becomes slower with each document of a stream.
            let verdicts = setup.judge.validate(line)?;
            match &verdicts[..] {
                [istio] => differences.extend(difference(change, istio, &findings)),
                several => bail!("{change}: Istio reads {} documents", several.len()),
            }
        }
        ensure!(
            ours.is_empty(),
            "`tidegate check` reports findings outside of all documents, in lines {:?}",
            ours.keys()
        );
    }
    Ok(Report {
        compared: format!("{} variations of documents", all.len()),
        differences: first_of(differences),
    })
}

/// Compares the handwritten texts.
pub fn compare_texts(setup: &mut Setup) -> Result<Report> {
    let compared = compare_all(setup, "texts", &texts::all())?;
    Ok(compared.report("texts", Vec::new()))
}

/// Compares the randomly damaged manifests.
pub fn compare_spoilt(setup: &mut Setup) -> Result<Report> {
    let texts = spoilt::all();
    let mut compared = compare_all(setup, "spoilt manifests", &texts)?;
    let is_known = |it: &Difference| it.is_of_syntax || it.text.contains(SEPARATORS);
    let (known, mut unknown): (Vec<_>, Vec<_>) = compared.differences.drain(..).partition(is_known);
    // If there are more differences than expected, Tidegate has a bug.
    if known.len() > texts.len() / DIFFERENT {
        unknown.extend(known);
        compared.differences = unknown;
        return Ok(compared.report("spoilt manifests", Vec::new()));
    }
    compared.differences = unknown;
    let remark = format!("{} read differently, as documented", known.len());
    Ok(compared.report("spoilt manifests", vec![remark]))
}

/// The result of comparing texts.
struct Compared {
    count: usize,
    admitted: usize,
    differences: Vec<Difference>,
}

/// A text that only one side admits.
struct Difference {
    text: String,
    /// Whether the side that rejects the text reports that it is not valid YAML.
    is_of_syntax: bool,
    istio: String,
    ours: String,
}

/// Compares all texts. Each text is a separate file, which is admitted as a whole or not at all.
fn compare_all(setup: &mut Setup, what: &str, texts: &[String]) -> Result<Compared> {
    let folder = setup.scratch.path().join(what);
    fs::create_dir(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let mut files = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let file = folder.join(format!("{index:04}.yaml"));
        fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
        files.push(file.to_string_lossy().into_owned());
    }
    let mut ours = by_file(setup.tidegate.validate(&[&folder.to_string_lossy()])?);
    let mut differences = Vec::new();
    let mut admitted = 0;
    for (text, file) in texts.iter().zip(&files) {
        let verdicts = setup.judge.validate(text)?;
        let refused = verdicts.iter().find(|verdict| !verdict.admitted());
        admitted += usize::from(refused.is_none());
        let findings = ours.remove(file).unwrap_or_default();
        if refused.is_none() != errors(&findings).is_empty() {
            let is_of_syntax = match refused {
                Some(refused) => refused.words().contains(NOT_YAML),
                None => errors(&findings).iter().all(|it| it.rule == SYNTAX),
            };
            differences.push(Difference {
                text: text.clone(),
                is_of_syntax,
                istio: refused.map_or("admitted".to_owned(), Verdict::words),
                ours: words(&findings),
            });
        }
    }
    // If nearly all texts are rejected, or nearly none, the comparison tests little.
    ensure!(
        (texts.len() / 10..texts.len() * 9 / 10).contains(&admitted),
        "{admitted} of {} {what} are admitted",
        texts.len()
    );
    Ok(Compared {
        count: texts.len(),
        admitted,
        differences,
    })
}

/// Returns the first differences, and the number of the others.
fn first_of(mut differences: Vec<String>) -> Vec<String> {
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    differences
}

fn difference(what: &str, istio: &Verdict, ours: &[Finding]) -> Option<String> {
    if istio.admitted() == errors(ours).is_empty() {
        return None;
    }
    Some(format!(
        "{what}:\n  Istio says: {}\n  tidegate says: {}",
        istio.words(),
        words(ours)
    ))
}

/// Groups the findings by file.
pub fn by_file(findings: Vec<Finding>) -> BTreeMap<String, Vec<Finding>> {
    let mut files: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        files.entry(finding.file.clone()).or_default().push(finding);
    }
    files
}

/// Returns the findings that cause a document to be rejected.
pub fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings
        .iter()
        .filter(|finding| finding.severity == "error")
        .collect()
}

/// Formats the verdict.
pub fn words(findings: &[Finding]) -> String {
    match errors(findings)[..] {
        [] => "admitted".to_owned(),
        [first, ..] => format!("{}: {} [{}]", first.field, first.message, first.rule),
    }
}

// === impl Compared ===

impl Compared {
    fn report(self, what: &str, remarks: Vec<String>) -> Report {
        let mut compared = format!("{} {what} ({} admitted", self.count, self.admitted);
        for remark in remarks {
            compared += &format!(", {remark}");
        }
        let differences = self.differences.into_iter();
        let differences = differences.map(|difference| {
            let Difference {
                text, istio, ours, ..
            } = difference;
            format!("{text:?}:\n  Istio says: {istio}\n  tidegate says: {ours}")
        });
        Report {
            compared: compared + ")",
            differences: first_of(differences.collect()),
        }
    }
}
