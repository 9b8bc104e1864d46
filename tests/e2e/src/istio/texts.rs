//! Manifests as text: unusual YAML and JSON.
//!
//! `kubectl` reads YAML 1.1 with Go's library, after it has split the stream into documents. `tidegate check` has its own parser, so both
//! read each of these texts. The results of `kubectl` for scalars are in `tests/istio/tables`.

use std::iter;

/// Lines that are added to the `spec` of a plugin.
const IN_SPEC: &[&str] = &[
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
    "  pluginName: \"\\\\'\\'\\\"\\q\"",
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
    // The text after the end of the document is ignored.
    "...\nnobody: [reads this",
    "....",
    "  pluginName: a\n...b: c",
    "  pluginName: \"a\n...\n  b\"",
    "  pluginConfig: {a: 1,\n...\n  b: 2}",
    "%YAML\n]",
    "%WORD 1.1\n]",
    "  pluginName: \"a\n%YAML 1.1\n  b\"",
    // Line breaks that only YAML 1.1 recognizes.
    "  # a comment\u{2029}  phase: AUTHN",
    "  phase: AUTHN\u{2028}  priority: x",
    "  pluginName: a\u{2028}",
    "  sha256: \"\u{85}\"",
    // Flow collections and tabs.
    "  pluginConfig: {a\n b: 1}",
    "  pluginConfig: {a\n b}",
    "  \tphase: AUTHN",
    "  pluginConfig:\n    a: b\n    \tc",
    "  pluginConfig: {\n\t\"a\": 1,\n\t\"b\": [\n\t\t2\n\t]\n  }",
    "  pluginConfig: {\n\ta: 1}\n\tphase: AUTHN",
    "  pluginConfig: {\n\ta: 1}\n  \tphase: AUTHN",
    "  pluginConfig: {a: [1\n   \t]}",
    "  pluginConfig: {?a: b, ? c: d, ?\"e\": f, ?g}",
    "  pluginConfig: {a: [?b: c, ?d, ? e]}",
    "  pluginConfig: {?a\n    : b}",
    "  pluginConfig: {a: [- b]}",
    "  pluginConfig: {a:[b]}",
    "  pluginConfig: {\"a\" :b, 'c':d}",
    "  phase: [AUTHN:]",
    // Tags, anchors and aliases.
    "  pluginName: !",
    "  phase: ! AUTHN",
    "  pluginConfig: {a: [!, b]}",
    "  priority: !!i!nt 5",
    "  pluginName: !a!b c",
    "  pluginName: !!str#x",
    "  pluginName: !<tag:yaml.org,2002:str> 5",
    "  priority: !<tag:yaml.org,2002:int> 5",
    "  priority: !!in%74 5",
    "  pluginName: &a:b",
    "  pluginConfig: {a: &a x, b: *a:c}",
    "  ! <<: {phase: NOPE}",
    // Tabs in otherwise blank lines and in block scalars.
    "  phase: AUTHN\n    \t\n  priority: 5",
    "  pluginName: |2\n    \ta",
    "  pluginName: |\n    a\n   \tb",
    "  pluginName: |\n    a\n    \tb",
    "  pluginName:\n  a\n  |\n    b",
    "  # a comment\u{7}",
    "  pluginName: \"a\u{7f}b\"",
    // An overwritten value need not be representable in JSON, but must be valid YAML.
    "  pluginName: .inf\n  pluginName: a",
    "  pluginName: a\n  pluginName: .inf",
    "  pluginConfig: {~: a}\n  pluginConfig: {b: c}",
    "  pluginConfig: {~: a, ~: b}",
    "  pluginConfig: {18446744073709551615: a}\n  pluginConfig: {}",
    "  priority: !!int x\n  priority: 5",
    "  pluginConfig: [.nan]\n  <<: {pluginConfig: {a: b}}",
    // Block scalars with unusual indentation.
    "  pluginName: |\n    \n   #",
    "  pluginName: |\n    \n #",
    "  pluginName: |0\n    a",
    "  sha256: |\n    0000000000000000000000000000000000000000000000000000000000000000\u{2028}",
    "  pluginName: \"\u{2028}a\"",
    "  pluginName: '\u{2029}'",
    // Byte order marks, and text after the end of the document.
    "  \u{feff}phase: AUTHN",
    "\u{feff}  phase: AUTHN",
    "  phase: \u{feff}AUTHN",
    "...\n# a comment\u{7}",
    // Tags that require a certain format.
    "  pluginName: !!timestamp x",
    "  pluginName: !!timestamp 2026-02-29",
    "  pluginName: !!timestamp 2026-01-02T3:4:5Z",
    "  pluginName: !!timestamp '5'",
    "  pluginName: !!binary aGVsbG9=",
    "  pluginName: !!binary aGVsbG8",
    "  sha256: !!binary MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMP==",
    "  pluginConfig: {[]: a}",
    "  pluginConfig: {? []: a}",
    "  pluginConfig: [?]",
    "  pluginConfig: {a: [? : b]}",
    "  &a phase: AUTHN\n  pluginName: *a",
    "  phase: AUTHN\r\r\n  priority: 5",
];

/// Text before and after a plugin's document.
const AROUND: &[(&str, &str)] = &[
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
    ("# a comment\n%YAML 1.1\n---\n", ""),
    ("", "---\n%YAML 1.1\n"),
    ("", "---\n%YAML 1.1\n---\n"),
    ("", "...\n---\nkind: [\n"),
    ("---\n...\n---\n", ""),
    ("---\u{2028}", ""),
    // Documents that are not objects of any kind.
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
    ("", "---\napiVersion: ''\nkind: Service\n"),
    // Byte order marks in places where they are not recognized.
    ("\u{feff}\u{feff}", ""),
    ("\u{feff}\u{feff}\u{feff}#", ""),
    ("\u{feff}--- x\n", ""),
    ("", "---\n\u{feff}kind: List\napiVersion: v1\nitems: []\n"),
    ("# a comment\n---\n\u{feff}", ""),
    // Directives whose `---` is not recognized by kubectl.
    ("%YAML 1.1\r---\r", ""),
    ("%YAML 1.2\r---\r", ""),
    ("%TAG !e! x\r---\r", ""),
];

/// Complete documents in JSON, or almost in JSON.
const JSON: &[&str] = &[
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
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"a"},"spec":{"url":"oci://h/p","priority":-0}}"#,
    r#"{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, metadata: {name: a}, spec: {url: "oci://h/p"}} "c" @"#,
    "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}\nb:",
    "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}\n# c",
    "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}\n01: x\nkind: List\napiVersion: v1\nitems: []\n",
    "{a}",
    "{ab}",
    // Streams, in which no separator is required between two values.
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}{\"a\":1}",
    "{\"apiVersion\":\"extensions.istio.io/v1alpha1\",\"kind\":\"WasmPlugin\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"url\":\"oci:\\/\\/h\"}}\n]",
    // Lists: any object with items is one.
    r#"{"apiVersion":"v1","kind":"List","items":null}"#,
    r#"{"apiVersion":"v1","kind":"List","items":5}"#,
    r#"{"apiVersion":"v1","kind":"List","items":["x"]}"#,
    r#"{"apiVersion":"v1","items":[]}"#,
    r#"{"kind":"List","items":[]}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPluginList","items":[{"metadata":{"name":"a"},"spec":{"url":"oci://h/p"}}]}"#,
    r#"{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPluginList","items":[{"metadata":{"name":"a"},"spec":{"url":"ftp://h/p"}},{"apiVersion":"v1"}]}"#,
];

/// Returns all texts.
pub fn all() -> Vec<String> {
    let plugin = |line: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: plugin\nspec:\n  url: oci://h.example.com/p:v1\n{line}\n"
        )
    };
    let twice = format!("{}---\n{}", plugin(""), plugin("  phase: NOPE"));
    IN_SPEC
        .iter()
        .copied()
        .map(plugin)
        .chain(
            AROUND
                .iter()
                .map(|(before, after)| format!("{before}{}{after}", plugin(""))),
        )
        .chain(JSON.iter().copied().map(str::to_owned))
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
