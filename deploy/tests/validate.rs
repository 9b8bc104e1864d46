//! The rule table and its fixtures: for every row a document that breaks it and nothing else, and one that does not.
//!
//! The same fixtures go through Istio's own code in `tests/istio`, which is what makes the table right; what is tested here is that
//! it is complete, and what people get to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use tidegate_deploy::istio::validate::{
    Finding, Kind, Options, Origin, Report, Rule, Severity, rules, validate,
};

/// The SHA-256 of the smallest module, which the fixtures take for that of theirs.
const MODULE: &str = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";

/// A plugin with more of these lines in its `spec`.
fn plugin(lines: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: greeter\nspec:\n  url: oci://h/p@sha256:1\n{lines}"
    )
}

fn judge(text: &str) -> Report {
    let options = Options {
        module_sha256: Some(MODULE.into()),
    };
    validate(text, &options).expect("YAML")
}

/// The one thing that is wrong with a text, as a line.
fn only(text: &str) -> String {
    let findings = judge(text).findings;
    let [finding] = &findings[..] else {
        panic!("not one finding: {findings:#?}");
    };
    format!(
        "{}: {}: {}: {} [{}]",
        finding.position, finding.severity, finding.field, finding.message, finding.rule
    )
}

// --- Fixtures.

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/istio/fixtures")
}

fn fixture(rule: &Rule, verdict: &str) -> Result<Report, String> {
    let name = format!("{}/{}.{verdict}.yaml", rule.kind, rule.id);
    let text = fs::read_to_string(fixtures().join(&name))
        .map_err(|error| format!("{name}, for {} ({}): {error}", rule.id, rule.what))?;
    Ok(judge(&text))
}

fn errors(report: &Report) -> Vec<&Finding> {
    report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect()
}

#[test]
fn every_row_has_a_document_that_breaks_it_alone_and_one_that_does_not() {
    let mut wrong = Vec::new();
    let check = |rule: &Rule| -> Result<(), String> {
        let valid = fixture(rule, "valid")?;
        if valid.judged != 1 || !errors(&valid).is_empty() {
            return Err(format!("{}/{}.valid: {valid:#?}", rule.kind, rule.id));
        }
        if valid.findings.iter().any(|finding| finding.rule == rule.id) {
            return Err(format!(
                "{}/{}.valid breaks it: {valid:#?}",
                rule.kind, rule.id
            ));
        }
        if rule.origin == Origin::Warning {
            let warned = fixture(rule, "warned")?;
            if !errors(&warned).is_empty() || warned.findings.iter().all(|it| it.rule != rule.id) {
                return Err(format!("{}/{}.warned: {warned:#?}", rule.kind, rule.id));
            }
        } else {
            let invalid = fixture(rule, "invalid")?;
            let broken: Vec<_> = errors(&invalid).iter().map(|it| it.rule.as_str()).collect();
            if broken != [rule.id.as_str()] {
                return Err(format!("{}/{}.invalid: {invalid:#?}", rule.kind, rule.id));
            }
        }
        Ok(())
    };
    for rule in rules() {
        wrong.extend(check(&rule).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fixture_is_of_a_row_or_says_its_verdict() {
    let rows: BTreeSet<(String, String)> = rules()
        .into_iter()
        .map(|rule| (rule.kind.to_string(), rule.id))
        .collect();
    let mut wrong = Vec::new();
    for folder in ["WasmPlugin", "TrafficExtension", "more"] {
        for entry in fs::read_dir(fixtures().join(folder)).expect("a folder of fixtures") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let id = ["valid", "invalid", "warned"]
                .iter()
                .find_map(|verdict| name.strip_suffix(&format!(".{verdict}.yaml")));
            let Some(id) = id else {
                wrong.push(format!("{folder}/{name} does not say its verdict"));
                continue;
            };
            if folder == "more" {
                let report = judge(&fs::read_to_string(&path).expect("a fixture"));
                let refused = name.ends_with(".invalid.yaml");
                if errors(&report).is_empty() == refused || report.judged != 1 {
                    wrong.push(format!("{folder}/{name}: {report:#?}"));
                }
            } else if !rows.contains(&(folder.to_owned(), id.to_owned())) {
                wrong.push(format!("{folder}/{name} is of no row"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// --- The CRDs.

/// Every constraint of Istio's schemas and CEL rules has a row, and every such row a constraint.
#[test]
fn the_table_has_what_the_crds_have() {
    let list = fixtures().join("../crd-rules.txt");
    let list = fs::read_to_string(list).expect("the list of the CRDs' rules");
    let mut wanted = BTreeMap::new();
    for line in list.lines() {
        let [kind, _, path, word, value] = line.splitn(5, ' ').collect::<Vec<_>>()[..] else {
            panic!("no constraint: {line}");
        };
        // Of a new object the status is thrown away before anything is asked.
        if !["WasmPlugin", "TrafficExtension"].contains(&kind) || path.starts_with(".status") {
            continue;
        }
        let value: Value = serde_json::from_str(value).expect("JSON");
        let field = path.trim_start_matches('.');
        for row in rows_of(field, word, &value) {
            *wanted.entry((kind.to_owned(), row)).or_insert(0) += 1;
        }
    }
    let mut have = BTreeMap::new();
    for rule in rules() {
        let word = match rule.origin {
            Origin::Cel => "cel",
            Origin::Schema => rule.id.rsplit('.').next().expect("a word"),
            _ => continue,
        };
        // Of what is outside of `spec`, Kubernetes' own types say what it is.
        if !rule.field.starts_with("spec") {
            continue;
        }
        let what = if word == "cel" || word == "oneOf" {
            ""
        } else {
            &rule.what
        };
        let row = format!("{} {word} {what}", rule.field);
        *have.entry((rule.kind.to_string(), row)).or_insert(0) += 1;
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(row, count)| have.get(*row) != Some(*count))
        .collect();
    let extra: Vec<_> = have
        .iter()
        .filter(|(row, count)| wanted.get(*row) != Some(*count))
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "in the CRDs only: {missing:#?}\nin the table only: {extra:#?}"
    );
}

/// The rows that a constraint of a CRD asks for: field, word, and the rule in a few words.
fn rows_of(field: &str, word: &str, value: &Value) -> Vec<String> {
    let row = |word: &str, what: String| vec![format!("{field} {word} {what}")];
    match word {
        "type" if field.is_empty() => Vec::new(),
        "type" => row(
            word,
            match value.as_str().expect("a type") {
                "object" => "must be a mapping",
                "array" => "must be a list",
                "string" => "must be a string",
                "integer" => "must be an integer",
                other => panic!("a type that the table does not know: {other}"),
            }
            .into(),
        ),
        "required" => value
            .as_array()
            .expect("a list")
            .iter()
            .map(|name| {
                let dot = if field.is_empty() { "" } else { "." };
                let name = name.as_str().expect("a name");
                format!("{field}{dot}{name} required must be there")
            })
            .collect(),
        "enum" => {
            let words: Vec<_> = value
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            row(word, format!("one of {}", words.join(", ")))
        }
        "pattern" => row(
            word,
            format!("matches {}", value.as_str().expect("a pattern")),
        ),
        "minLength" => row(word, format!("{value} characters or more")),
        "maxLength" => row(word, format!("{value} characters or fewer")),
        "minimum" => row(word, format!("{value} or more")),
        "maximum" => row(word, format!("{value} or less")),
        "maxItems" => row(word, format!("{value} items or fewer")),
        "maxProperties" => row(word, format!("{value} fields or fewer")),
        "format" if value == "int32" => row(word, "has room in 32 bits".into()),
        "oneOf" => row(word, String::new()),
        "x-kubernetes-list-map-keys" => {
            let key = value[0].as_str().expect("a key");
            row("unique", format!("no two items have the same `{key}`"))
        }
        "x-kubernetes-validations" => row("cel", String::new()),
        // These say how to read the others.
        "nullable" | "x-kubernetes-list-type" | "x-kubernetes-preserve-unknown-fields" => {
            Vec::new()
        }
        other => panic!("a constraint that the table does not know: {field} {other} {value}"),
    }
}

#[test]
fn identifiers_are_unique_and_fit_into_file_names() {
    let mut seen = BTreeSet::new();
    for rule in rules() {
        assert!(
            rule.id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
            "{}",
            rule.id
        );
        assert!(
            seen.insert((rule.kind, rule.id.clone())),
            "{} twice",
            rule.id
        );
    }
}

// --- What people read.

#[test]
fn a_message_says_where_what_and_how_to_mend_it() {
    assert_eq!(
        only(&plugin("  failStrategy: FAIL_CLOSED\n")),
        "7:17: error: spec.failStrategy: `FAIL_CLOSED` is not known: is `FAIL_CLOSE` meant? [failStrategy.enum]"
    );
    assert_eq!(
        only(&plugin("  match:\n  - ports:\n    - number: 70000\n")),
        "9:15: error: spec.match[0].ports[0].number: 70000 is more than 65535, which is the most [match.ports.number.maximum]"
    );
    assert_eq!(
        only(&plugin("  pluginName: on\n")),
        "7:15: error: spec.pluginName: must be a string, and `on` without quotes is a boolean: write \"on\" [pluginName.type]"
    );
    assert_eq!(
        only(&plugin("  on: AUTHN\n")).split(": there").next(),
        Some("7:3: error: spec.true: `on` is `true` in YAML 1.1, and there is no such field")
    );
    assert_eq!(
        only(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: greeter\nspec:\n  phase: AUTHN\n"
        ),
        "6:3: error: spec.url: is missing: add it [url.required]"
    );
}

#[test]
fn what_the_api_server_writes_is_looked_at_too() {
    let with = |metadata: &str, status: &str| {
        only(&plugin(status).replace(
            "  name: greeter\n",
            &format!("  name: greeter\n{metadata}\n"),
        ))
    };
    assert_eq!(
        with("  creationTimestamp: nonsense", ""),
        "5:22: error: metadata.creationTimestamp: `nonsense` is no time as in `2026-01-02T03:04:05Z`; the API server writes this \
         field itself: take it away [metadata.creationTimestamp.date-time]"
    );
    assert_eq!(
        with("  uid: [1]", ""),
        "5:8: error: metadata.uid: must be a string, and this is a list [metadata.uid.type]"
    );
    let owner =
        |uid| format!("{{apiVersion: v1, kind: Pod, name: a, uid: {uid}, controller: true}}");
    assert_eq!(
        with(
            &format!("  ownerReferences: [{}, {}]", owner("u1"), owner("u2")),
            ""
        ),
        "5:86: error: metadata.ownerReferences[1]: is the second owner that is to be the controller: leave `controller: true` to \
         one of them [metadata.ownerReferences.one-controller]"
    );
    assert_eq!(
        with("", "status: {conditions: [{kind: Ready}]}\n"),
        "8:24: error: status.conditions[0].kind: is no field of the status, which the control plane writes: take the status away \
         [status.unknown]"
    );
}

#[test]
fn what_says_not_what_it_is_is_no_document() {
    for (text, told) in [
        (
            "apiVersion: v1\n",
            "1:1: error: kind: is missing, so that nobody knows what this document is: add it [document.kind]",
        ),
        (
            "apiVersion: v1\nkind: [Pod]\n",
            "2:7: error: kind: must be a string with something in it [document.kind]",
        ),
        (
            "apiVersion: ''\nkind: Pod\n",
            "1:13: error: apiVersion: must be a string with something in it [document.apiVersion]",
        ),
        (
            "kind: Pod\n",
            "1:1: error: apiVersion: is missing, so that nobody knows what this document is: add it [document.apiVersion]",
        ),
        (
            "some text\n",
            "1:1: error: : a document is a mapping with `apiVersion` and `kind`, and this is a string [document.type]",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: 5\n",
            "3:8: error: items: must be a list, since what has items is a list of documents, and this is an integer \
             [document.items]",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [5]\n",
            "3:9: error: items[0]: a document is a mapping with `apiVersion` and `kind`, and this is an integer [document.type]",
        ),
    ] {
        assert_eq!(only(text), told);
        assert_eq!(judge(text).findings[0].kind, None);
    }
    // What a list says, its items need not say.
    let list = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPluginList\nitems:\n- {metadata: {name: a}, spec: {url: ftp://h/x}}\n";
    let report = judge(list);
    assert_eq!((report.judged, report.errors), (1, 1), "{report:#?}");
}

#[test]
fn a_checksum_of_the_module_is_warned_of_only_if_the_module_is_known() {
    let text = plugin(&format!("  sha256: {MODULE}\n")).replace("@sha256:1", ":v1");
    assert_eq!(judge(&text).warnings, 1);
    let report = validate(&text, &Options::default()).expect("YAML");
    assert_eq!(report.findings, []);
}

#[test]
fn lists_are_opened_and_other_kinds_skipped() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret}\n- apiVersion: extensions.istio.io/v1alpha1\n  kind: WasmPlugin\n  metadata: {name: a}\n  spec: {url: ftp://h/x}\n---\n# nothing\n---\napiVersion: v1\nkind: Service\n";
    let report = judge(text);
    assert_eq!((report.judged, report.skipped), (1, 2));
    assert_eq!(report.findings[0].field, "items[1].spec.url");
    assert_eq!(report.findings[0].kind, Some(Kind::WasmPlugin));
}

#[test]
fn findings_come_in_the_order_of_their_places() {
    let report = judge(&plugin("  type: TCP\n  sha256: x\n  failStrategy: y\n"));
    let lines: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.position.line)
        .collect();
    assert_eq!(lines, [7, 8, 9]);
    assert_eq!(report.errors, 3);
}

#[test]
fn of_a_document_that_is_wrong_all_over_not_every_error_is_told() {
    let wrong = plugin(&format!("  match: [{}]\n", "5, ".repeat(500)));
    let report = judge(&format!("{wrong}---\n{wrong}"));
    assert_eq!((report.errors, report.findings.len()), (1000, 200));
}

// --- Any bytes.

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Documents with a few bytes changed never end the program, and always have places that are in the text.
    #[test]
    fn nothing_panics(
        which in 0usize..1000,
        edits in prop::collection::vec((0usize..4000, prop::sample::select(b"\0\t\n -:#&*!|>'\"%@`{}[],?<~0123456789.e_ynABC\xc3\xbc\x80".to_vec())), 0..12),
    ) {
        let files: Vec<_> = rules().into_iter().filter(|rule| rule.origin != Origin::Warning).collect();
        let rule = &files[which % files.len()];
        let path = fixtures().join(format!("{}/{}.invalid.yaml", rule.kind, rule.id));
        let mut bytes = fs::read(path).expect("a fixture");
        bytes.truncate(4000);
        for (at, byte) in edits {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().count() + 1;
        match validate(&text, &Options::default()) {
            Ok(report) => for finding in report.findings {
                prop_assert!((1..=lines).contains(&finding.position.line));
            },
            Err(error) => prop_assert!((1..=lines + 1).contains(&error.position.line)),
        }
    }
}
