//! Documents that Istio admits or rejects: `rules/*.yaml`, expanded for both kinds. `README.md` describes the tables.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// What a document is that says nothing else.
const VERSION: &str = "apiVersion: extensions.istio.io/v1alpha1\n";
const METADATA: &str = "metadata:\n  name: greeter\n";
const URL: &str = "url: oci://registry.example.com/greeter@sha256:5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a5f1c3e2a\n";

/// A case with one of these fields is about the document, not about its `spec`.
const OF_DOCUMENTS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Fields of `spec` in a `WasmPlugin`, and of `spec.wasm` in a `TrafficExtension`.
const OF_WASM: [&str; 10] = [
    "failStrategy",
    "imagePullPolicy",
    "imagePullSecret",
    "pluginConfig",
    "pluginName",
    "sha256",
    "type",
    "url",
    "verificationKey",
    "vmConfig",
];

/// The table whose cases are of no rule.
const OF_NO_RULE: &str = "more";

/// A kind of document.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `WasmPlugin`.
    WasmPlugin,
    /// `TrafficExtension`.
    TrafficExtension,
}

/// What Istio does with a document.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Admits it.
    Valid,
    /// Admits it, and does something else than it seems to say.
    Warned,
    /// Rejects it.
    Invalid,
}

/// A document, and what becomes of it.
#[derive(Debug)]
pub struct Fixture {
    /// The kind whose rule it keeps or breaks; none if it is of no rule.
    pub kind: Option<Kind>,
    /// The rule, or a name for what is of none.
    pub rule: String,
    /// What Istio does with it.
    pub verdict: Verdict,
    /// The document.
    pub text: String,
}

/// A cell of a table: one text for both kinds, or one for each that has the rule.
#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Both(String),
    Each(BTreeMap<Kind, String>),
}

type Table = BTreeMap<String, BTreeMap<Verdict, Case>>;

/// The folder of this crate.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, sorted by table, rule, verdict and kind.
pub fn fixtures() -> Result<Vec<Fixture>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("rules"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let mut fixtures = Vec::new();
    for file in files {
        let read = || -> Result<Vec<Fixture>> {
            let table: Table = serde_saphyr::from_str(&fs::read_to_string(&file)?)?;
            let is_of_rules = file.file_stem().is_some_and(|stem| stem != OF_NO_RULE);
            expand_table(table, is_of_rules)
        };
        fixtures.extend(read().with_context(|| format!("failed to read {}", file.display()))?);
    }
    Ok(fixtures)
}

fn expand_table(table: Table, is_of_rules: bool) -> Result<Vec<Fixture>> {
    let mut fixtures = Vec::new();
    for (rule, cases) in table {
        for (verdict, case) in cases {
            let texts = match case {
                Case::Each(texts) => texts,
                Case::Both(_) if !is_of_rules => bail!("{rule}: a case of no rule is for one kind"),
                Case::Both(text) => [Kind::WasmPlugin, Kind::TrafficExtension]
                    .map(|kind| (kind, text.clone()))
                    .into(),
            };
            for (kind, text) in texts {
                let text = expand(kind, &text).with_context(|| format!("{rule}.{verdict}"))?;
                fixtures.push(Fixture {
                    kind: is_of_rules.then_some(kind),
                    rule: rule.clone(),
                    verdict,
                    text,
                });
            }
        }
    }
    Ok(fixtures)
}

/// The document of a case.
fn expand(kind: Kind, case: &str) -> Result<String> {
    let (case, without) = expand_macros(kind, case)?;
    if let Some(whole) = case.strip_prefix("---\n") {
        return Ok(whole.to_owned());
    }
    // What arrives in a plugin is said in the last line.
    let (case, arrives) = case.split_at(case.find("# arrives:").unwrap_or(case.len()));
    ensure!(
        case.is_empty() || case.ends_with('\n'),
        "a case ends in a line break"
    );
    let fields: Vec<(&str, &str)> = fields(case).collect();
    let names = ["apiVersion", "kind", "metadata", "spec", "url"];
    if let Some(unknown) = without.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("`<<without {unknown}>>`: nothing of that name is added");
    }
    let is_left_out = |name: &str| {
        fields.iter().any(|(field, _)| *field == name) || without.iter().any(|field| field == name)
    };
    let is_about_document = fields.iter().any(|(name, _)| OF_DOCUMENTS.contains(name));
    let mut text = String::new();
    for (name, default) in [
        ("apiVersion", VERSION),
        ("kind", &format!("kind: {kind:?}\n")),
        ("metadata", METADATA),
    ] {
        if !is_left_out(name) {
            text += default;
        }
    }
    if is_about_document {
        text.extend(fields.iter().map(|(_, field)| *field));
    }
    if !is_left_out("spec") {
        let of_spec = if is_about_document { &[] } else { &fields[..] };
        text += &spec(kind, of_spec, is_left_out("url"));
    }
    Ok(text + arrives)
}

/// `spec` with these fields, each where the kind has it.
fn spec(kind: Kind, fields: &[(&str, &str)], has_url: bool) -> String {
    let (wasm, others): (Vec<_>, Vec<_>) = fields
        .iter()
        .copied()
        .partition(|(name, _)| OF_WASM.contains(name));
    let url = (!has_url).then_some(("url", URL));
    let wasm: String = url.iter().chain(&wasm).map(|(_, field)| *field).collect();
    let others: String = others.iter().map(|(_, field)| *field).collect();
    match kind {
        Kind::WasmPlugin => format!("spec:\n{}{}", indent(2, &wasm), indent(2, &others)),
        Kind::TrafficExtension => {
            format!("spec:\n  wasm:\n{}{}", indent(4, &wasm), indent(2, &others))
        }
    }
}

fn indent(by: usize, text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines
        .map(|line| match line {
            "\n" => line.to_owned(),
            line => format!("{:by$}{line}", ""),
        })
        .collect()
}

/// The fields of a mapping in block style: name, and all lines.
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.find('\n')? + 1;
        while let Some(next) = rest.get(end..)
            && next.starts_with([' ', '-', '}', ']', '\n'])
        {
            end += next.find('\n').map_or(next.len(), |line| line + 1);
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        let name = field.split(':').next().unwrap_or_default();
        Some((name.trim_matches('"'), field))
    })
}

/// The text with what stands between `<<` and `>>` put in, and the fields that are to be left out.
fn expand_macros(kind: Kind, text: &str) -> Result<(String, Vec<String>)> {
    let (mut expanded, mut without) = (String::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        let line = line.replace("<<kind>>", &format!("{kind:?}"));
        if let Some(name) = line.strip_prefix("<<without ") {
            without.push(name.trim_end().trim_end_matches(">>").to_owned());
        } else if let Some((range, rest)) = line
            .strip_prefix("<<each ")
            .and_then(|line| line.split_once(">>"))
        {
            let (first, end) = range.split_once("..").context("`<<each FIRST..END>>`")?;
            for number in first.parse::<usize>()?..end.parse()? {
                expanded += &rest.replace("<<n>>", &number.to_string());
            }
        } else {
            expanded += &repeat(&line)?;
        }
    }
    ensure!(!expanded.contains("<<each"), "`<<each` begins a line");
    Ok((expanded, without))
}

/// A line with `<<TEXT*COUNT>>` put in.
fn repeat(line: &str) -> Result<String> {
    let mut parts = line.split("<<");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((repeated, rest)) = part.split_once(">>") else {
            // A merge key.
            text += "<<";
            text += part;
            continue;
        };
        let Some((repeated, count)) = repeated.rsplit_once('*') else {
            bail!("`<<{repeated}>>` is neither `kind`, `n`, `without`, `each` nor `TEXT*COUNT`");
        };
        text += &repeated.repeat(count.parse()?);
        text += rest;
    }
    Ok(text)
}

// === impl Fixture ===

impl Fixture {
    /// Its name as a file: `WasmPlugin/url.scheme.invalid.yaml`.
    pub fn name(&self) -> String {
        let folder = match self.kind {
            Some(kind) => format!("{kind:?}"),
            None => OF_NO_RULE.to_owned(),
        };
        format!("{folder}/{}.{}.yaml", self.rule, self.verdict)
    }

    /// Writes it below a folder.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.name());
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(&path, &self.text)
        };
        write().with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }
}

// === impl Verdict ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Warned => "warned",
            Self::Invalid => "invalid",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_expands_to_a_document_of_each_kind() {
        let case = "pluginConfig:\n  a: <<x*3>>\nmatch:\n- ports:\n<<each 1..3>>  - number: <<n>>\n# arrives: {}\n";
        let wasm = expand(Kind::WasmPlugin, case).expect("a document");
        assert_eq!(
            wasm,
            format!(
                "{VERSION}kind: WasmPlugin\n{METADATA}spec:\n  {URL}  pluginConfig:\n    a: xxx\n  match:\n  - ports:\n    - number: 1\n    - number: 2\n# arrives: {{}}\n"
            )
        );
        let traffic = expand(Kind::TrafficExtension, case).expect("a document");
        assert!(
            traffic.contains("spec:\n  wasm:\n    url: oci://")
                && traffic.contains("\n    pluginConfig:\n      a: xxx\n  match:\n  - ports:\n"),
            "{traffic}"
        );
    }

    #[test]
    fn document_level_case_keeps_the_other_defaults() {
        let text = expand(Kind::WasmPlugin, "kind: [<<kind>>]\n<<without url>>\n");
        assert_eq!(
            text.expect("a document"),
            format!("{VERSION}{METADATA}kind: [WasmPlugin]\nspec:\n")
        );
        let text = expand(Kind::WasmPlugin, "---\nkind: x\n");
        assert_eq!(text.expect("a document"), "kind: x\n");
        assert!(expand(Kind::WasmPlugin, "a: <<nonsense>>\n").is_err());
    }
}
