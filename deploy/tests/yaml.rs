//! Tests the tree of a YAML text: positions, aliases, merges, duplicate keys, and limits.
//!
//! Scalars are compared with the results of the real library in `deploy/src/yaml/scalar.rs`.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_deploy::yaml::{self, Document, MOST_BYTES, MOST_DEPTH, MOST_NODES, Node};

fn root(text: &str) -> Node {
    let mut documents = yaml::parse(text).expect("valid YAML");
    assert_eq!(documents.len(), 1, "{documents:#?}");
    documents.remove(0).root
}

fn json_of(text: &str) -> Value {
    root(text).to_json()
}

/// Returns the position and message of an error, as one line.
fn error(text: &str) -> String {
    match yaml::parse(text) {
        Ok(documents) => panic!("read as {documents:#?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn nodes_and_keys_have_positions() {
    let root = root("# ü\nspec:\n  ports: [80, {number: 81}]\n  text: |\n    one\n");
    let spec = root
        .mapping()
        .expect("root should be a mapping")
        .entry("spec")
        .expect("`spec` should exist");
    assert_eq!(spec.key.position.to_string(), "2:1");
    assert_eq!(spec.value.position.to_string(), "3:3");
    let ports = spec
        .value
        .get("ports")
        .and_then(Node::items)
        .expect("`ports` should exist");
    assert_eq!(ports[0].position.to_string(), "3:11");
    assert_eq!(
        ports[1]
            .get("number")
            .expect("number should exist")
            .position
            .to_string(),
        "3:24"
    );
    assert_eq!(
        spec.value
            .get("text")
            .expect("text should exist")
            .position
            .to_string(),
        "4:9"
    );
}

#[test]
fn source_text_is_kept_if_the_value_differs() {
    let root = root("on: 0x10\n\"on\": text\nport: \"80\"\n");
    let entries = &root.mapping().expect("root should be a mapping").entries;
    assert_eq!(entries[0].key.name, "true");
    assert_eq!(entries[0].key.written.as_deref(), Some("on"));
    assert_eq!(entries[0].value.written.as_deref(), Some("0x10"));
    assert_eq!(
        (&*entries[1].key.name, &entries[1].key.written),
        ("on", &None)
    );
    assert_eq!(entries[2].value.written, None);
}

#[test]
fn omitted_values_have_a_position() {
    let place = |text: &str, name: &str| {
        let root = root(text);
        root.get(name)
            .expect("field should exist")
            .position
            .to_string()
    };
    assert_eq!(place("a:\n\n# c\nb: 1\n", "a"), "1:2");
    assert_eq!(place("b: 1\n? a\n", "a"), "2:1");
    assert_eq!(place("{a, b: }\n", "a"), "1:2");
    assert_eq!(place("{a, b: }\n", "b"), "1:6");
    let root = root("-\n\n- 1\n");
    assert_eq!(
        root.items().expect("root should be a list")[0]
            .position
            .to_string(),
        "1:1"
    );
}

#[test]
fn text_can_contain_any_number_of_documents() {
    let documents =
        yaml::parse("a: 1\n---\n# nothing\n--- # comment\nb: 2\n...\n").expect("valid YAML");
    let values: Vec<_> = documents
        .iter()
        .map(|Document { root }| root.to_json())
        .collect();
    assert_eq!(values, [json!({"a": 1}), Value::Null, json!({"b": 2})]);
    assert_eq!(yaml::parse("").expect("empty text should be valid"), []);
}

/// Returns every document of a text as JSON.
fn all_of(text: &str) -> Vec<Value> {
    let documents = yaml::parse(text).expect("valid YAML");
    documents.iter().map(|it| it.root.to_json()).collect()
}

#[test]
fn text_is_split_into_documents_before_parsing() {
    // Only the first document of a piece is read.
    assert_eq!(
        all_of("a: 1\n...\nc: 3\n---\nb: 2\n"),
        [json!({"a": 1}), json!({"b": 2})]
    );
    for text in ["%YAML 1.1\n---\na: 1\n", "a: 1\n%WORD\n"] {
        error(text);
    }
    // JSON values need no separator. The text is a stream of JSON values as long as it can be parsed as one.
    assert_eq!(
        all_of(r#"{"a": "\/"} {"b": 2}"#),
        [json!({"a": "/"}), json!({"b": 2})]
    );
    assert_eq!(
        all_of("{\"a\": 1}\n---\nb: 2\n"),
        [json!({"a": 1}), json!({"b": 2})]
    );
    assert!(error("{\"a\": 1}{\"b\": 2}\n]").starts_with("2:1: "));
    // After JSON, kubectl needs at least four bytes to look for YAML, and reads `01` as two numbers.
    error("{\"a\": 1}\nb:");
    assert_eq!(
        all_of("{\"a\": 1}\nb: "),
        [json!({"a": 1}), json!({"b": null})]
    );
    assert_eq!(all_of("{}01"), [json!({}), json!(0), json!(1)]);
    error("{}01: x\n");
}

#[test]
fn json_is_accepted() {
    let text = r#"{"a": [1, 2.50, true, null, "yes"], "b": {"c": "\u00e4\n"}}"#;
    let expected: Value = json!({"a": [1, 2.5, true, null, "yes"], "b": {"c": "ä\n"}});
    assert_eq!(json_of(text), expected);
    let text = r#"{"a": "\ud83d\ude00 \/"}"#;
    assert_eq!(json_of(text), json!({"a": "😀 /"}));
}

#[test]
fn aliases_resolve_to_their_anchors() {
    let text = "a: &one {x: 1}\nb: *one\n&key name: &two 5\n*key : *two\n";
    // The last of two fields with the same name takes effect.
    assert_eq!(
        json_of(text),
        json!({"a": {"x": 1}, "b": {"x": 1}, "name": 5})
    );
    assert!(
        error("a: *none\n").starts_with("1:4: "),
        "{}",
        error("a: *none\n")
    );
    assert_eq!(
        error("a: &a [*a]\n"),
        "1:8: the anchor's value contains itself"
    );
    // Anchors are not shared between documents.
    assert!(error("a: &a 1\n---\nb: *a\n").starts_with("3:4: "));
}

#[test]
fn merge_keys_apply_in_document_order() {
    let base = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\n";
    let merged = |fields: &str| json_of(&format!("{base}it: {{{fields}}}\n"))["it"].clone();
    assert_eq!(merged("<<: *base, b: 5"), json!({"a": 1, "b": 5}));
    // In Kubernetes' library the last field takes effect, whether or not it comes from a merge.
    assert_eq!(merged("b: 5, <<: *base"), json!({"a": 1, "b": 2}));
    assert_eq!(
        merged("<<: [*base, *more]"),
        json!({"a": 1, "b": 2, "c": 4})
    );
    assert_eq!(merged("\"<<\": 1"), json!({"<<": 1}));
    assert!(error("<<: 5\n").contains("map merge"));
}

#[test]
fn last_duplicate_key_wins_and_the_others_are_recorded() {
    let root = root("a: 1\nb: 2\na: 3\n");
    assert_eq!(root.to_json(), json!({"a": 3, "b": 2}));
    let overwritten = &root
        .mapping()
        .expect("root should be a mapping")
        .overwritten;
    assert_eq!(overwritten.len(), 1);
    assert_eq!(overwritten[0].position.to_string(), "1:1");
}

#[test]
fn unreadable_yaml_is_rejected_with_its_position() {
    for (text, place, part) in [
        ("a: .inf\n", "1:4", "cannot be represented in JSON"),
        ("~: a\n", "1:1", "null cannot be used as a key"),
        ("[a]: b\n", "1:1", "cannot be used as a key"),
        ("{a: b}: c\n", "1:1", "cannot be used as a key"),
        ("a: b\n--- {c: d}\n", "2:4", "only a comment"),
        ("a: !!int x\n", "1:10", "as int, as its tag requires"),
        ("a: [b\n", "1:4", "unclosed bracket"),
        (
            "a: {b: c\nd: e\n",
            "2:2",
            "did not find expected ',' or '}'",
        ),
        ("a: b: c\n", "1:5", "mapping values are not allowed"),
        ("a: - b\n", "1:4", "block sequence entries are not allowed"),
        ("a: ? b\n", "1:4", "mapping keys are not allowed"),
        ("a: b\n  c: d\n", "2:4", "mapping values are not allowed"),
        ("a: 1\nb:2\nc: 3\n", "2:1", "simple key expected ':'"),
        ("a: 'it's'\n", "1:8", "invalid trailing content"),
        ("a: \"b\" c\n", "1:8", "invalid trailing content"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "did not find expected key"),
        ("a: 1\n- b\n", "2:3", "did not find expected key"),
        ("- a\nb: c\n", "2:1", "did not find expected '-' indicator"),
        ("a: @b\n", "1:4", "unexpected character"),
        ("a: |b\n", "1:4", "while scanning a block scalar"),
        ("a: \"b\nc: d\n", "1:4", "unclosed quote"),
        ("- *.example.com\n", "1:3", "unknown anchor"),
        ("a: !important!\n", "1:4", "while parsing a tag"),
        ("a: *b\n", "1:4", "unknown anchor"),
        ("a: !b!c d\n", "1:4", "the handle wasn't declared"),
        ("{a: b, c: [}\n", "1:11", "mismatched bracket"),
        ("{}\n{}\n{\"a\": }\n", "3:7", "kubectl parses this as JSON"),
        ("{}{}{\"ü\": }\n", "1:11", "kubectl parses this as JSON"),
        ("a: [\n---\nb: c\n--- x\n", "1:4", "unclosed bracket"),
        ("a: b\n# ü\u{7}\n", "2:4", "unexpected character"),
        ("a: \"\u{7f}\"\n", "1:5", "unexpected character"),
        (
            "%YAML 1.2\r---\ra: b\n",
            "2:1",
            "found incompatible YAML document",
        ),
    ] {
        let error = error(text);
        assert!(
            error.starts_with(&format!("{place}: ")),
            "{text:?}: {error}"
        );
        assert!(error.contains(part), "{text:?}: {error}");
    }
    // Lines in quotes or brackets may begin with a tab.
    assert_eq!(json_of("a: \"b\n\tc\"\n"), json!({"a": "b c"}));
    assert_eq!(json_of("a: [b,\n\tc]\n"), json!({"a": ["b", "c"]}));
}

#[test]
fn nesting_depth_is_bounded_including_aliases() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(yaml::parse(&nested(MOST_DEPTH)).map(|it| it.len()), Ok(1));
    assert!(error(&nested(MOST_DEPTH + 1)).contains("levels deep"));
    let half = nested(MOST_DEPTH / 2);
    let deeper = format!(
        "a: &a {half}\nb: &b [[[{}*a{}]]]\n",
        "[".repeat(97),
        "]".repeat(97)
    );
    assert!(error(&deeper).contains("levels deep"));
}

#[test]
fn nested_aliases_expand_to_a_bounded_number_of_nodes() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{},", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(error(&text).contains("excessive aliasing"));
}

#[test]
fn size_is_bounded() {
    let list = |items: usize| format!("[{}]\n", "a,".repeat(items));
    yaml::parse(&list(MOST_NODES - 2)).expect("limit should not be exceeded");
    assert!(error(&list(MOST_NODES)).contains("split it"));
    assert!(error(&"{}".repeat(MOST_NODES / 2 + 1)).contains("split it"));
    assert!(error(&"---\n".repeat(MOST_NODES + 2)).contains("split it"));
    assert!(error(&" ".repeat(MOST_BYTES + 1)).contains("split it"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Arbitrary pieces of YAML never cause a panic, and errors have positions.
    #[test]
    fn arbitrary_yaml_fragments_do_not_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "a", "- ", ": ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ",", "&a ", "*a", "!!str ", "!!int ", "!", "|", ">-", "\"", "'", "#",
        "? ", "?", ":", "-", "*a:", "!x,", "<<: ", "---", "...", "%YAML 1.2", "~", "0x", "1_0", ".inf", "\t", "\r\n", "\u{feff}", "\u{85}", "\0", "ü", "\\", "1e9",
    ]), 0..40)) {
        let text = pieces.concat();
        match yaml::parse(&text) {
            Ok(documents) => for document in documents {
                document.root.to_json();
            },
            Err(error) => prop_assert!(error.position.line >= 1 && error.position.column >= 1),
        }
    }

    /// A value that is written as JSON is parsed as the same value.
    #[test]
    fn json_round_trips(value in json_value()) {
        let text = value.to_string();
        prop_assert_eq!(json_of(&text), value);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß\u{1F600}\n]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,6}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

#[test]
fn alias_expansion_is_bounded() {
    let long = "x".repeat(1 << 20);
    let few = |number: usize| "- *a\n".repeat(number);
    for text in [
        format!("- &a {long}\n{}", few(70)),
        format!("- &a {long}\n{}", "- {*a : 1}\n".repeat(70)),
        // Keys that are overwritten, and keys whose name is shorter than the original text.
        format!("- &a {{{}}}\n{}", "k: 1,".repeat(50_000), few(20)),
        format!("- &a {{? 0x{}1 : 1}}\n{}", "0".repeat(1 << 20), few(70)),
        // Go's library permits that up to 99 percent of many nodes come from aliases, and a smaller share of very many
        // nodes.
        format!("- &a [{}]\n{}", "x,".repeat(200), few(200)),
        // The limit also applies to all documents together.
        format!("- &a [{}]\n{}---\n", "x,".repeat(60), few(5000)).repeat(5),
    ] {
        let error = yaml::parse(&text).expect_err("limit should be exceeded");
        assert!(error.message.contains("excessive aliasing"), "{error}");
    }
    let nested: String = (0..190).map(|nth| format!("&a{nth} [")).collect();
    for text in [
        format!("{nested}{}{}", "0,".repeat(200_000), "]".repeat(190)),
        format!("- &a [{}]\n{}", "x,".repeat(90), few(100)),
        format!("- &a [{}]\n{}", "x,".repeat(60), few(5000)),
    ] {
        yaml::parse(&text).expect("Go's library should accept the text");
    }
    // A chain of aliases or merges is as deep as nested collections. It must be readable with a small stack.
    let chain = |length: usize| {
        let links = (1..length).map(|nth| format!("- &a{nth} {{x: *a{}}}\n", nth - 1));
        format!("- &a0 {{b: c}}\n{}", links.collect::<String>())
    };
    let deep = chain(MOST_DEPTH - 1);
    let read = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || yaml::parse(&deep).map(|it| it.len()))
        .expect("thread should start");
    assert_eq!(
        read.join().expect("parser should not overflow the stack"),
        Ok(1)
    );
    let chain = |length: usize| {
        let links = (1..length).map(|nth| format!("- &a{nth} {{<<: *a{}}}\n", nth - 1));
        format!("- &a0 {{b: c}}\n{}", links.collect::<String>())
    };
    assert_eq!(json_of(&chain(100))[99], json!({"b": "c"}));
    let error = yaml::parse(&chain(2 * MOST_DEPTH)).expect_err("limit should be exceeded");
    assert!(error.message.contains("excessive aliasing"), "{error}");
}

#[test]
fn unrepresentable_value_of_overwritten_key_is_ignored() {
    for (text, read) in [
        ("a: .inf\na: b\n", json!({"a": "b"})),
        ("a:\n  ?\na: b\n", json!({"a": "b"})),
        ("a: {18446744073709551615: b}\na: c\n", json!({"a": "c"})),
        ("a: [.nan]\n<<: {a: c}\n", json!({"a": "c"})),
        ("<<: {a: .inf}\na: c\n", json!({"a": "c"})),
    ] {
        assert_eq!(json_of(text), read, "{text:?}");
    }
    for (text, place) in [
        ("a: b\na: .inf\n", "2:4"),
        ("~: b\n~: c\n", "1:1"),
        ("a: !!int x\na: b\n", "1:10"),
        ("- .inf\n- &a .nan\n", "1:3"),
        ("a: &a .inf\nb: *a\na: c\n", "1:7"),
    ] {
        assert!(error(text).starts_with(&format!("{place}: ")), "{text:?}");
    }
}

#[test]
fn block_scalar_chomping_and_indentation_are_applied() {
    for (text, read) in [
        ("a: |\n  b", "b\n"),
        ("a: |-\n  b\r\n  c\r\n", "b\nc"),
        ("a: |+\n  b\n\n", "b\n\n"),
        ("a: >\n  b\n  c\n\n  d\n   e\n  f\n", "b c\nd\n e\nf\n"),
        ("a: |1-\n  b\n", " b"),
        ("a: |2-\n  b\n", "b"),
    ] {
        assert_eq!(json_of(text), json!({"a": read}), "{text:?}");
    }
    for text in ["a: |0\n", "a: |x\n", "a: |22\n", "a: |++\n"] {
        error(text);
    }
}

#[test]
fn byte_order_marks_are_handled_as_in_go() {
    // The file and each document may begin with a byte order mark.
    for marks in ["", "\u{feff}", "\u{feff}\u{feff}"] {
        assert_eq!(
            json_of(&format!("{marks}a: b\n-c: d\n")),
            json!({"a": "b", "-c": "d"})
        );
    }
    assert_eq!(
        all_of("\u{feff}{\"a\": \"\\/\"}{\"b\": 1}"),
        [json!({"a": "/"}), json!({"b": 1})]
    );
    // Elsewhere it is an ordinary character.
    assert_eq!(
        json_of("a: b\n\u{feff}c: d\n"),
        json!({"a": "b", "\u{feff}c": "d"})
    );
}

#[test]
fn utf8_and_utf16_files_are_decoded_as_in_kubectl() {
    let text = "a: \"ü😀\"\n---\nb: c\n";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let marked = format!("\u{feff}{text}");
        marked.encode_utf16().flat_map(bytes).collect()
    };
    for bytes in [
        text.as_bytes().to_vec(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
    ] {
        assert_eq!(
            all_of(&yaml::decode(&bytes)),
            [json!({"a": "ü😀"}), json!({"b": "c"})]
        );
    }
    assert_eq!(yaml::decode(b"a: \xff\xe4b"), "a: \u{fffd}\u{fffd}b");
    // An unpaired surrogate, and an incomplete code unit.
    assert_eq!(
        yaml::decode(b"\xff\xfe\x00\xd8a\0b"),
        "\u{feff}\u{fffd}a\u{fffd}"
    );
}

#[test]
fn comments_can_span_any_number_of_lines() {
    let comments = "  # nothing\n".repeat(1000);
    assert_eq!(
        json_of(&format!("a:\n{comments}  b: 1\n")),
        json!({"a": {"b": 1}})
    );
    assert_eq!(
        json_of(&format!("a:\n{comments}- b\n")),
        json!({"a": ["b"]})
    );
}

#[test]
fn block_scalar_position_is_that_of_its_indicator() {
    for (text, place) in [
        ("\"a #b\": |\n  c\n", "1:9"),
        ("a: |\t# > c\n  d\n", "1:4"),
        ("a: >-   # c |\n\n  d\n", "1:4"),
        ("- |2\n    c\n", "1:3"),
    ] {
        let root = root(text);
        let node = match root.items() {
            Some(items) => &items[0],
            None => &root.mapping().expect("root should be a mapping").entries[0].value,
        };
        assert_eq!(node.position.to_string(), place, "{text:?}");
    }
}

#[test]
fn json_keys_have_no_length_limit() {
    let name = "k".repeat(5000);
    let read = json_of(&format!("{{\"a\": 1, \"{name}\": 2}}"));
    assert_eq!(read[&name], 2);
}

#[test]
fn yaml_keys_are_limited_to_1024_characters() {
    let text = |size: usize| format!("a: 1\n\"{}\": 2\n", "k".repeat(size));
    assert_eq!(
        json_of(&text(1022)).as_object().map(serde_json::Map::len),
        Some(2)
    );
    assert!(error(&text(1024)).starts_with("2:1: "));
}

#[test]
fn tag_handles_and_yaml_directives_are_supported() {
    // After a lone carriage return, kubectl does not recognize `---` as a separator. Otherwise it would split the text.
    let text = |handle: &str| format!("%TAG !e! tag:yaml.org,2002:\r---\r{handle}int 5\n");
    assert_eq!(json_of(&text("!e!")), json!(5));
    error(&text("!f!"));
    assert_eq!(json_of("%YAML 1.1\r---\ra: b\n"), json!({"a": "b"}));
    for text in [
        "%YAML 1.2\r---\ra: b\n",
        "%YAML 1.1\r%YAML 1.1\r---\ra: b\n",
        "%YAML 1.1\ra: b\n",
    ] {
        error(text);
    }
}

#[test]
fn timestamp_and_binary_tags_validate_their_value() {
    for text in [
        "2026-1-2",
        "2024-02-29",
        "2026-01-02T3:4:5Z",
        "2026-01-02t23:59:59.5-24:60",
        "2026-01-02   3:4:5,25",
        "2026-01-02 3:4:5.123456789012",
    ] {
        assert_eq!(
            json_of(&format!("a: !!timestamp {text}\n")),
            json!({"a": text})
        );
    }
    for text in [
        "x",
        "5",
        "''",
        "2026-13-01",
        "2026-02-29",
        "1900-02-29",
        "26-01-02",
        "2026-01-02T3:4:5",
        "2026-01-02 3:4:5Z",
        "2026-01-02T24:0:0Z",
        "2026-01-02T3:4:5+1:00",
        "2026-01-02T3:4:5+25:00",
        "2026-01-02x",
    ] {
        let error = error(&format!("a: !!timestamp {text}\n"));
        assert!(error.contains("as a timestamp"), "{text}: {error}");
    }
    // Go ignores unused trailing bits, and replaces each invalid byte with a character.
    assert_eq!(json_of("a: !!binary aGVsbG9=\n"), json!({"a": "hello"}));
    assert_eq!(
        json_of("a: !!binary 5oI=\n"),
        json!({"a": "\u{fffd}\u{fffd}"})
    );
    error("a: !!binary aGVsbG8\n");
}

#[test]
fn json_documents_follow_json_rules() {
    for (text, read) in [
        (r#"{"a": "\ud83d\ude00\/"}"#, json!({"a": "😀/"})),
        (
            "{\"a\": \"\u{85}\u{2028}\"}",
            json!({"a": "\u{85}\u{2028}"}),
        ),
        (
            r#"{"<<": {"a": 1}, "a": 1, "a": 2}"#,
            json!({"<<": {"a": 1}, "a": 2}),
        ),
        (
            r#"{"a": -0, "b": 1e2, "c": 18446744073709551616}"#,
            json!({"a": 0, "b": 100, "c": 18446744073709551616.0}),
        ),
        ("{ }", json!({})),
        (
            r#"{"a": [ ], "b": [1 , [ ] ]}"#,
            json!({"a": [], "b": [1, []]}),
        ),
    ] {
        assert_eq!(json_of(text), read, "{text}");
    }
    let lists = |depth: usize| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    for depth in [MOST_DEPTH + 1, 300, 2000] {
        assert!(error(&lists(depth)).contains("levels deep"), "{depth}");
    }
    let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(yaml::parse(&deep(MOST_DEPTH)).map(|it| it.len()), Ok(1));
    assert!(error(&deep(MOST_DEPTH + 1)).contains("levels deep"));
}

/// `docs/istio.md` lists the classes of texts that are parsed differently from Go's library. Each row is a text of one
/// class and the result of this library; `None` is an error.
#[test]
fn differences_from_go_are_as_documented() {
    for (text, read) in [
        // Line breaks that only YAML 1.1 recognizes. Go: `1 b`.
        ("a: 1\u{85}b\n", Some(json!({"a": "1\u{85}b"}))),
        // Tabs. Go: an error, except for the last text, for which it returns the value.
        ("a: b\n\t\nc: d\n", Some(json!({"a": "b", "c": "d"}))),
        ("-\ta: b\n", Some(json!([{"a": "b"}]))),
        ("a: {\n\tb: 1\n}\nc: d\n", None),
        // Escapes. Go: an error, except for the last text, for which it returns `'`.
        ("a: \"\\/\"\n", Some(json!({"a": "/"}))),
        ("a: \"\\'\"\n", None),
        // `?`, `:` and `-` in flow collections. Go: `a` for the first key, `b:` and `-` as strings.
        ("x: {?a: b}\n", Some(json!({"x": {"?a": "b"}}))),
        ("x: {a: b?c}\n", Some(json!({"x": {"a": "b?c"}}))),
        ("x: [b:]\n", Some(json!({"x": [{"b": null}]}))),
        ("x: [-]\n", None),
        // Keys on several lines in flow collections. Go: an error.
        ("x: {&a\n b: c}\n", Some(json!({"x": {"b": "c"}}))),
        // Names of anchors and tags. Go: an error for the first text, a value for the others.
        ("x: [&é a]\n", Some(json!({"x": ["a"]}))),
        ("x: [!!i!nt 5]\n", None),
        ("x: {a: &a 1, *a: c}\n", None),
        // Text after a document, up to the next `---`. Go ignores nearly all of it.
        ("a: 1\n%YAML 1.1\n", None),
        ("{a: b}}\n", None),
        ("a: 1\n...\n]\n", None),
        // The end marker of a document that has not begun. Go: an error.
        ("...\na: 1\n", Some(json!({"a": 1}))),
        // Comments. Go: an empty string, and a string.
        ("a: |\n  \n #\n", None),
        ("a: |1-#\n  b\n", None),
        // JSON. Go: U+FFFD, the character, an error.
        (r#"{"a": "\ud83d"}"#, None),
        ("{\"a\": \"\u{7f}\"}", None),
        (r#"{"a": 1e400}"#, Some(json!({"a": "1e400"}))),
    ] {
        let ours = yaml::parse(text).ok().map(|it| it[0].root.to_json());
        assert_eq!(ours, read, "{text:?}");
    }
    // kubectl loses a last line of 4096 bytes without a line break.
    let last = format!("a: 1\nb: {}", "x".repeat(4093));
    assert!(json_of(&last)["b"].is_string());
}
