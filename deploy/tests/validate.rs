//! Tests the messages for documents that Istio would reject.

use std::collections::BTreeSet;

use tidegate_deploy::istio::validate::{Kind, Options, Report, rules, validate};

/// The SHA-256 digest of the smallest valid module, which the fixtures refer to.
const MODULE: &str = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";

/// Returns a plugin with additional lines in its `spec`.
fn plugin(lines: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: greeter\nspec:\n  url: oci://h/p@sha256:1\n{lines}"
    )
}

fn judge(text: &str) -> Report {
    let options = Options {
        module_sha256: Some(MODULE.into()),
        ..Options::default()
    };
    validate(text, &options).expect("valid YAML")
}

/// Returns the only finding in a text, as one line.
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

// --- Rules.

#[test]
fn rule_ids_are_unique_and_usable_as_file_names() {
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

// --- Messages.

#[test]
fn messages_contain_position_field_problem_and_fix() {
    assert_eq!(
        only(&plugin("  failStrategy: FAIL_CLOSED\n")),
        "7:17: error: spec.failStrategy: unknown value `FAIL_CLOSED`: did you mean `FAIL_CLOSE`? [failStrategy.enum]"
    );
    assert_eq!(
        only(&plugin("  match:\n  - ports:\n    - number: 70000\n")),
        "9:15: error: spec.match[0].ports[0].number: 70000 exceeds the maximum of 65535 [match.ports.number.maximum]"
    );
    assert_eq!(
        only(&plugin("  pluginName: on\n")),
        "7:15: error: spec.pluginName: must be a string, and `on` without quotes is a boolean: write \"on\" [pluginName.type]"
    );
    assert_eq!(
        only(&plugin("  on: AUTHN\n")).split(": expected").next(),
        Some("7:3: error: spec.true: `on` is `true` in YAML 1.1, which is an unknown field")
    );
    assert_eq!(
        only(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: greeter\nspec:\n  phase: AUTHN\n"
        ),
        "6:3: error: spec.url: required field is missing [url.required]"
    );
}

#[test]
fn only_field_names_of_the_status_are_checked() {
    assert_eq!(
        only(&plugin("status: {conditions: [{kind: Ready}]}\n")),
        "7:24: error: status.conditions[0].kind: is not a field of the status, which the control plane manages: remove the status \
         [status.unknown]"
    );
}

#[test]
fn server_managed_metadata_is_not_checked() {
    let text = plugin("").replace(
        "  name: greeter\n",
        "  name: greeter\n  uid: [1]\n  creationTimestamp: nonsense\n",
    );
    assert_eq!(judge(&text).findings, []);
}

#[test]
fn document_without_api_version_or_kind_is_rejected() {
    for (text, told) in [
        (
            "apiVersion: v1\n",
            "1:1: error: kind: required field is missing [document.kind]",
        ),
        (
            "apiVersion: v1\nkind: [Pod]\n",
            "2:7: error: kind: must be a non-empty string [document.kind]",
        ),
        (
            "apiVersion: ''\nkind: Pod\n",
            "1:13: error: apiVersion: must be a non-empty string [document.apiVersion]",
        ),
        (
            "kind: Pod\n",
            "1:1: error: apiVersion: required field is missing [document.apiVersion]",
        ),
        (
            "some text\n",
            "1:1: error: : a document must be a mapping with `apiVersion` and `kind`, but this is a string [document.type]",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: 5\n",
            "3:8: error: items: must be a list of documents, but is an integer \
             [document.items]",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [5]\n",
            "3:9: error: items[0]: a document must be a mapping with `apiVersion` and `kind`, but this is an integer [document.type]",
        ),
    ] {
        assert_eq!(only(text), told);
        assert_eq!(judge(text).findings[0].kind, None);
    }
    // Items inherit what their list specifies.
    let list = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPluginList\nitems:\n- {metadata: {name: a}, spec: {url: ftp://h/x}}\n";
    let report = judge(list);
    assert_eq!((report.judged, report.errors), (1, 1), "{report:#?}");
}

/// A group that differs from Istio's by one or two letters is a spelling mistake. Other vendors have kinds of the same
/// name in their own groups.
#[test]
fn misspelled_api_group_is_an_error() {
    let of = |group: &str| judge(&plugin("").replace("extensions.istio.io", group));
    for group in [
        "extensions.istio.com",
        "extension.istio.io",
        "extensions.isto.io",
        "Extensions.istio.io",
    ] {
        let report = of(group);
        assert_eq!((report.judged, report.errors), (1, 1), "{report:#?}");
        assert_eq!(report.findings[0].field, "apiVersion");
        assert_eq!(
            report.findings[0].message,
            format!(
                "unknown value `{group}/v1alpha1`: did you mean `extensions.istio.io/v1alpha1`?"
            )
        );
    }
    for group in ["extensions.higress.io", "extensions.istio.example.com"] {
        let report = of(group);
        assert_eq!((report.judged, report.errors), (0, 0), "{report:#?}");
        assert_eq!(report.findings[0].rule, "document.group");
    }
    // The version may also be wrong.
    let text = plugin("").replace("istio.io/v1alpha1", "istio.com/v1");
    let report = judge(&text);
    assert_eq!(
        report.findings[0].message,
        "unknown value `extensions.istio.com/v1`: expected `extensions.istio.io/v1alpha1`"
    );
}

#[test]
fn module_checksum_warning_requires_a_known_module() {
    let text = plugin(&format!("  sha256: {MODULE}\n")).replace("@sha256:1", ":v1");
    assert_eq!(judge(&text).warnings, 1);
    let report = validate(&text, &Options::default()).expect("valid YAML");
    assert_eq!(report.findings, []);
}

#[test]
fn lists_are_expanded_and_other_kinds_are_skipped() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret}\n- apiVersion: extensions.istio.io/v1alpha1\n  kind: WasmPlugin\n  metadata: {name: a}\n  spec: {url: ftp://h/x}\n---\n# nothing\n---\napiVersion: v1\nkind: Service\n";
    let report = judge(text);
    assert_eq!((report.judged, report.skipped), (1, 2));
    assert_eq!(report.findings[0].field, "items[1].spec.url");
    assert_eq!(report.findings[0].kind, Some(Kind::WasmPlugin));
}

#[test]
fn findings_are_sorted_by_position() {
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
fn reported_findings_are_limited_per_document() {
    let wrong = plugin(&format!("  match: [{}]\n", "5, ".repeat(500)));
    let report = judge(&format!("{wrong}---\n{wrong}"));
    assert_eq!((report.errors, report.findings.len()), (1000, 200));
}
