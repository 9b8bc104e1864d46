//! Manifests as text: what YAML and JSON can do to a document before anyone looks at its fields.
//!
//! `kubectl` reads YAML 1.1 with Go's library and cuts a stream into documents before that. `tidegate validate` reads with another
//! library, so each text here is put to both. What `kubectl` does to scalars is in `tests/istio/tables`.

use std::iter;

/// A plugin with one more line in its `spec`, or several.
const IN_SPEC: [&str; 123] = [
    "",
    "  pluginName: !!str 5",
    "  priority: !!int \"5\"",
    "  priority: !!int \"x\"",
    "  priority: !!float 5",
    "  pluginName: !!bool \"yes\"",
    "  pluginName: !!null x",
    "  pluginName: !!null ''",
    "  pluginName: !!binary aGVsbG8=",
    "  pluginName: !!binary '***'",
    "  pluginName: !!timestamp 2026-01-01",
    "  pluginName: !word x",
    "  pluginConfig: !word {a: 1}",
    "  pluginConfig: !!set {a, b}",
    "  pluginConfig: !!seq {a: 1}",
    "  pluginConfig: !!map {a: 1}",
    "  pluginName: 2026-01-01",
    "  pluginConfig: {2026-01-01: x}",
    "  pluginConfig: {1: x, 2.5: y, true: z, null: w}",
    "  pluginConfig: {yes: yes}",
    "  pluginConfig: {[a]: x}",
    "  pluginConfig: {{a: 1}: x}",
    "  ? phase\n  : AUTHN",
    "  ? phase",
    "  pluginName: a\n    b\n    c",
    "  pluginName: >-\n    a\n    b",
    "  pluginName: |+\n    a\n\n",
    "  pluginName: |2\n      a",
    "  pluginName: |\n    a\n---",
    "  sha256: |\n    0000000000000000000000000000000000000000000000000000000000000000",
    "  pluginName: \"\\x41\\u00e4\\U0001F600\\t\\e\"",
    "  pluginName: \"\\q\"",
    "  pluginName: \"\\ud800\"",
    "  pluginName: 'it''s'",
    "  pluginName:\u{a0}a",
    "  pluginName: a\u{7}b",
    "  pluginName: \"a\u{7}b\"",
    "  pluginName: \"a\u{85}b\"",
    "  pluginName: *nobody",
    "  pluginConfig: &a {x: *a}",
    "  pluginConfig: {a: &a {x: 1}, b: {<<: *a}, c: {<<: [*a, *a]}}",
    "  <<: {phase: AUTHN}",
    "  <<: {phase: NOPE}",
    "  <<: x",
    "  \"<<\": {phase: AUTHN}",
    "  match:\n  - &m\n    mode: SERVER\n  - *m",
    "  vmConfig:\n    env:\n    - &e {name: a, value: b}\n    - {<<: *e, name: c}",
    "  vmConfig:\n    env:\n    - &e {name: a, value: b}\n    - {<<: *e}",
    "  url: ftp://twice",
    "  \"url\": ftp://twice",
    "  pluginConfig: {a:1}",
    "  pluginConfig: {\"a\":1}",
    "  pluginConfig: {a: 1,}",
    "  pluginConfig: {,}",
    "  pluginConfig: {a: 1",
    "  pluginName: \"a",
    "  pluginName: @x",
    "  pluginName: `x",
    "  pluginName: %x",
    "  pluginName: ?x",
    "  pluginName: a: b",
    "  pluginName: a #b",
    "  pluginName: a#b",
    "  match: [-]",
    "]",
    " phase: AUTHN",
    "    phase: AUTHN",
    "\tphase: AUTHN",
    "  phase:\tAUTHN\t",
    "  phase:        AUTHN      ",
    "  Phase: AUTHN",
    "  ürl: x",
    "  priority: 010",
    "  priority: 09",
    "  priority: 0b101",
    "  priority: 1:30",
    "  priority: 1_000",
    "  priority: .inf",
    "  pluginConfig: {a: .inf}",
    "  pluginConfig: {a: .nan}",
    "  pluginConfig: {a: 123456789012345678901234567890}",
    "  pluginConfig: {a: 18446744073709551615}",
    "  pluginConfig: {a: 1e400}",
    "...",
    // What follows is nobody's.
    "...\nnobody: [reads this",
    "... # and a comment\n]",
    "...   x: [\n",
    "....",
    "  pluginName: a\n...b: c",
    "  pluginName: \"a\n...\n  b\"",
    "  pluginName: |\n    a\n...\n]",
    "  pluginConfig: {a: 1,\n...\n  b: 2}",
    "%YAML 1.1\nnobody: [reads this",
    "%YAML 1.2 # a comment\n]",
    "%TAG ! tag:example.com,2000:\n]",
    "%YAML\n]",
    "%WORD 1.1\n]",
    "  pluginName: \"a\n%YAML 1.1\n  b\"",
    // Line breaks of YAML 1.1.
    "  # a comment\u{85}  phase: NOPE",
    "  # a comment\u{2028}  phase: NOPE",
    "  # a comment\u{2029}  phase: AUTHN",
    "  phase: AUTHN\u{85}  priority: 5",
    "  phase: AUTHN\u{2028}  priority: x",
    "  pluginName: a\u{2028}",
    "  pluginName: |\u{85}    a",
    "  sha256: \"\u{85}\"",
    // Within brackets, and tabs.
    "  pluginConfig: {a: b?c}",
    "  pluginConfig: {a: :b}",
    "  pluginConfig: {a\n b: 1}",
    "  pluginConfig: {a\n b}",
    "  \tphase: AUTHN",
    "  match:\n  -\tmode: SERVER",
    "  match:\n  - \tmode: SERVER",
    "  pluginConfig:\n    a: b\n    \tc",
    "  pluginConfig: {\n\t\"a\": 1,\n\t\"b\": [\n\t\t2\n\t]\n  }",
    "  pluginConfig: {\n    \ta: 1,\n\n\tb: 2}",
    "  pluginConfig: {\n\ta: 1}\n\tphase: AUTHN",
    "  pluginConfig: {\n\ta: 1}\n  \tphase: AUTHN",
    "  pluginConfig: {\n\t\"a\": [\n\t\t\"b\"\n\t]\n  }",
    "  pluginConfig: {a: [1\n   \t]}",
    "  pluginConfig: {a\n    : 1}",
    "  pluginName: \"a\"# a comment\n  phase: AUTHN",
    "  pluginConfig: {a: [1]#]\n  }",
];

/// Before and after a plugin's text.
const AROUND: [(&str, &str); 46] = [
    ("\u{feff}", ""),
    ("---\n", "---\n"),
    ("---\n---\n", "---\n---\n"),
    ("# a comment\n\n", "# another\n"),
    ("# only a comment\n---\n", "--- # and one here\n"),
    ("null\n---\n", ""),
    ("~\n---\n", "--- \n~\n"),
    ("---   \n", ""),
    ("--- x\n---\n", ""),
    ("", "--- x\n"),
    ("", "----\n"),
    ("", "---x\n"),
    ("", "---\n# nothing\n"),
    ("a: [\n---\n", ""),
    ("", "---\na: [\n"),
    ("%YAML\n", ""),
    ("", "\n\n\n   \n"),
    ("%YAML 1.1\n---\n", ""),
    ("%YAML 1.2\n---\n", ""),
    ("%TAG ! tag:example.com,2000:\n---\n", ""),
    ("%WORD\n---\n", ""),
    ("---\n%YAML 1.1\n---\n", ""),
    ("---\n%YAML 1.1\n", ""),
    ("# a comment\n%YAML 1.1\n---\n", ""),
    ("", "---\n%YAML 1.1\n"),
    ("", "---\n%YAML 1.1\n---\n"),
    ("", "...\n---\nkind: [\n"),
    ("", "...\n%YAML 1.1\n---\n"),
    ("...\n", ""),
    ("...\n---\n", ""),
    ("# a comment\n...\n---\n", ""),
    ("---\n...\n---\n", ""),
    ("\u{2028}", ""),
    ("---\u{2028}", ""),
    ("\u{85}---\u{85}", ""),
    // What is no document of any kind.
    ("", "---\napiVersion: v1\n"),
    ("", "---\nkind: null\n"),
    ("", "---\nkind: [Service]\n"),
    ("", "---\nkind: ''\n"),
    ("", "---\nkind: Service\n"),
    ("", "---\napiVersion: null\nkind: Service\n"),
    ("", "---\napiVersion: 1\nkind: Service\n"),
    ("", "---\na text\n"),
    ("", "---\n[a, list]\n"),
    ("", "---\n5\n"),
    ("", "---\n{}\n"),
];

/// Whole documents in JSON, or nearly.
const JSON: [&str; 22] = [
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"ftp://h/p","url":"oci://h/p"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p","url":"ftp://h/p"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","Metadata":{"name":"a"},"spec":{"url":"oci://h/p"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p",}}"#,
    r#"{"apiVersion":"extensions.istio.io\/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci:\/\/h\/p"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p","pluginName":"\ud83d\ude00"}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p","pluginName":yes}}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p","priority":1e2}}"#,
    r#"{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, metadata: {name: a}, spec: {url: "oci://h/p"}}"#,
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\n\t\"kind\":\"WasmPlugin\",\n\t\"metadata\":{\"name\":\"a\"},\n\t\"spec\":{\"url\":\"oci://h/p\"}}",
    r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"ftp://h/p"}}]}"#,
    // Streams, which need nothing between two values.
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}{\"a\":1}",
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}\n---\n{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}",
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}\n]",
    // Lists: whatever has items is one.
    r#"{"apiVersion":"v1","kind":"List","items":null}"#,
    r#"{"apiVersion":"v1","kind":"List","items":5}"#,
    r#"{"apiVersion":"v1","kind":"List","items":["x"]}"#,
    r#"{"apiVersion":"v1","items":[]}"#,
    r#"{"kind":"List","items":[]}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPluginList","items":[{"metadata":{"name":"a"},"spec":{"url":"oci://h/p"}}]}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPluginList","items":[{"metadata":{"name":"a"},"spec":{"url":"ftp://h/p"}},{"apiVersion":"v1"}]}"#,
];

/// All of them.
pub fn all() -> Vec<String> {
    let plugin = |line: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: plugin\nspec:\n  url: oci://h.example.com/p:v1\n{line}\n"
        )
    };
    let twice = format!("{}---\n{}", plugin(""), plugin("  phase: NOPE"));
    IN_SPEC
        .map(plugin)
        .into_iter()
        .chain(AROUND.map(|(before, after)| format!("{before}{}{after}", plugin(""))))
        .chain(JSON.map(str::to_owned))
        .chain([
            plugin("").replace('\n', "\r\n"),
            plugin("").replace('\n', "\r"),
            twice,
        ])
        .chain(iter::once(format!("{}\n---\n{}", JSON[0], plugin(""))))
        .chain([60, 90].map(|deep| {
            plugin(&format!(
                "  pluginConfig: {}1{}",
                "{a: ".repeat(deep),
                "}".repeat(deep)
            ))
        }))
        .collect()
}
