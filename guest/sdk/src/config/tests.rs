//! Tests for valid configurations and for the error messages of invalid ones.

use std::{collections::BTreeMap, num::NonZeroU32};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Limits {
    rules: Vec<Rule>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    share: f64,
    #[serde(default)]
    pages: BTreeMap<u16, String>,
    #[serde(default)]
    pair: Option<(u8, i8)>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Rule {
    limit: NonZeroU32,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Off,
    Sample(u32),
    Window {
        seconds: u64,
    },
}

fn refused(json: &str) -> String {
    read_config::<Limits>(json.as_bytes())
        .expect_err("this is refused")
        .to_string()
}

#[test]
fn common_serde_types_are_deserialized() {
    let json = r#" { "rules": [ {"limit": 1, "name": "a\n\u00e9\ud83d\ude00"}, {"limit": 4294967295} ],
        "mode": {"window": {"seconds": 18446744073709551615}}, "status": 429, "share": 2.5e-1,
        "pages": {"404": "lost"}, "pair": [255, -128] } "#;
    let limits: Limits = read_config(json.as_bytes()).expect("a good configuration");
    assert_eq!(limits.rules[0].name, "a\né😀");
    assert_eq!(limits.rules[1].limit.get(), u32::MAX);
    assert_eq!(limits.mode, Mode::Window { seconds: u64::MAX });
    assert_eq!(
        (limits.status, limits.share, limits.pair),
        (Some(429), 0.25, Some((255, -128)))
    );
    assert_eq!(limits.pages, BTreeMap::from([(404, "lost".to_owned())]));

    let limits: Limits =
        read_config(br#"{"rules": [], "mode": "off", "status": null, "share": 3}"#).expect("good");
    assert_eq!(
        (limits.mode, limits.status, limits.share),
        (Mode::Off, None, 3.0)
    );
    let limits: Limits = read_config(br#"{"rules": [], "mode": {"sample": 7}}"#).expect("good");
    assert_eq!(limits.mode, Mode::Sample(7));
}

#[test]
fn errors_contain_path_and_reason() {
    for (json, reason) in [
        (
            r#"{"rules": [{"limit": 1}, {"limit": 2}, {"limit": "ten"}]}"#,
            r#"rules[2].limit: expected a nonzero u32, got "ten""#,
        ),
        (
            r#"{"rules": [{"limit": 0}]}"#,
            "rules[0].limit: expected a nonzero u32, got 0",
        ),
        (
            r#"{"rules": [{"limit": -1}]}"#,
            "rules[0].limit: expected a nonzero u32, got -1",
        ),
        (
            r#"{"rules": [{"limit": 1.5}]}"#,
            "rules[0].limit: expected a nonzero u32, got 1.5",
        ),
        (
            r#"{"rules": [{"limit": 99999999999999999999}]}"#,
            "rules[0].limit: expected a nonzero u32, got 99999999999999999999",
        ),
        (
            r#"{"rules": [{"limit": 1, "nmae": "x"}]}"#,
            "rules[0].nmae: unknown field, expected `limit` or `name`",
        ),
        (r#"{"rules": [{}]}"#, "rules[0].limit: missing"),
        (
            r#"{"rules": [{"limit": 1, "limit": 2}]}"#,
            "rules[0].limit: given twice",
        ),
        (
            r#"{"rules": {}}"#,
            "rules: expected an array, got an object",
        ),
        (r#"{"rules": [7]}"#, "rules[0]: expected an object, got 7"),
        (
            r#"{"rules": [], "mode": "on"}"#,
            r#"mode: expected `off`, `sample` or `window`, got "on""#,
        ),
        (
            r#"{"rules": [], "mode": {"window": {"seconds": true}}}"#,
            "mode.window.seconds: expected u64, got true",
        ),
        (
            r#"{"rules": [], "mode": {}}"#,
            "mode: expected an object with one field, got another number of them",
        ),
        (
            r#"{"rules": [], "mode": "sample"}"#,
            "mode: expected newtype variant, got a name alone",
        ),
        (
            r#"{"rules": [], "mode": 1}"#,
            "mode: expected a name, or an object with one field, got 1",
        ),
        (
            r#"{"rules": [], "status": 70000}"#,
            "status: expected u16, got 70000",
        ),
        (
            r#"{"rules": [], "share": "half"}"#,
            r#"share: expected f64, got "half""#,
        ),
        (
            r#"{"rules": [], "share": 1e999}"#,
            "share: expected f64, got 1e999",
        ),
        (
            r#"{"rules": [], "pages": {"x": "lost"}}"#,
            r#"pages.x: expected u16, got "x""#,
        ),
        (
            r#"{"rules": [], "pages": {"404": null}}"#,
            "pages.404: expected a string, got null",
        ),
        (
            r#"{"rules": [], "pair": [1]}"#,
            "pair: expected a tuple of size 2, got 1 elements",
        ),
        (
            r#"{"rules": [], "pair": [1, 2, 3]}"#,
            "pair: expected 2 elements, got 3",
        ),
        (r#"[]"#, "expected an object, got an array"),
        (
            r#"{"rules": []"#,
            "not JSON: comma or end of sequence expected at line 1, column 13",
        ),
        (
            "{\n  \"rules\": [nul]}",
            "not JSON: value expected at line 2, column 14",
        ),
        (
            r#"{} {}"#,
            "not JSON: end of file expected at line 1, column 4",
        ),
        (
            "",
            "no configuration was given, and an empty one does not do: rules: missing",
        ),
        (
            " \n",
            "no configuration was given, and an empty one does not do: rules: missing",
        ),
    ] {
        assert_eq!(refused(json), reason, "{json}");
    }
}

#[test]
fn values_in_errors_are_truncated_to_one_line() {
    let json = serde_json::json!({ "rules": "a\nb".repeat(100) }).to_string();
    let error = refused(&json);
    let quoted = error
        .strip_prefix("rules: expected an array, got ")
        .expect("the place and what was expected");
    assert_eq!(quoted, format!("\"{}…\"", "a b".repeat(20)));
}

/// Keys and numbers come from the same place as values, and may be as long and as odd.
#[test]
fn keys_and_numbers_in_errors_are_truncated_to_one_line() {
    let key = "k\n\u{1b}[31m".repeat(100);
    let shown = format!("\"{}…\"", &"k  [31m".repeat(100)[..60]);
    let unknown = serde_json::json!({ "rules": [{ "limit": 1, &key: 1 }] }).to_string();
    assert_eq!(
        refused(&unknown),
        format!("rules[0].{shown}: unknown field, expected `limit` or `name`")
    );
    let page = serde_json::json!({ "rules": [], "pages": { &key: "" } }).to_string();
    assert_eq!(
        refused(&page),
        format!("pages.{shown}: expected u16, got {shown}")
    );
    let ends = serde_json::json!({ "rules": [], "a.b\u{9b}": 1 }).to_string();
    assert!(refused(&ends).starts_with("\"a.b \": unknown field"));
    assert!(refused(r#"{"": 1}"#).starts_with("\"\": unknown field"));

    let digits = "9".repeat(10_000);
    assert_eq!(
        refused(&format!(r#"{{"rules": [{{"limit": {digits}}}]}}"#)),
        format!(
            "rules[0].limit: expected a nonzero u32, got {}…",
            &digits[..60]
        )
    );
}

/// `type Config = Nothing` is not seen to be `()` by `#[plugin]`.
#[test]
fn unit_types_accept_only_an_empty_configuration() {
    type Nothing = ();
    #[derive(Debug, Deserialize, PartialEq)]
    struct Empty;

    for none in ["", " \n", "{}", " { } ", "null"] {
        assert_eq!(read_config::<Nothing>(none.as_bytes()), Ok(()), "{none:?}");
        assert_eq!(read_config::<Empty>(none.as_bytes()), Ok(Empty), "{none:?}");
    }
    for (some, reason) in [
        (r#"{"a": 1}"#, "a: unknown field, there are none here"),
        ("[]", "expected an empty object, got an array"),
    ] {
        let error = read_config::<Nothing>(some.as_bytes()).expect_err("refused");
        assert_eq!(error.to_string(), reason);
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = "[".repeat(100_000);
    assert!(refused(&deep).contains("maximal depth exceeded"));
}

#[test]
fn only_blank_text_and_empty_object_are_no_configuration() {
    for none in ["", " ", "{}", " {\n} "] {
        assert!(is_none(none.as_bytes()), "{none:?}");
    }
    for some in ["{\"a\":1}", "[]", "null", "{", "}{", "{}{}"] {
        assert!(!is_none(some.as_bytes()), "{some:?}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>()
            .prop_filter("JSON has no such number", |number| number.is_finite())
            .prop_map(Into::into),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::hash_map(".*", inner, 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What serde_json writes is read back as it was.
    #[test]
    fn reads_what_serde_json_writes(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        prop_assert_eq!(read_config::<serde_json::Value>(&text.expect("a value is JSON")), Ok(value));
    }

    /// Any bytes give a configuration or a reason; where serde_json finds JSON, so do we, and the other way round.
    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{},:"\\0-9eE.+\-ntrufalse \u{1}é]{1,24}"#) {
        prop_assume!(!text.trim().is_empty());
        let ours = read_config::<serde::de::IgnoredAny>(text.as_bytes()).is_ok();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_config::<Limits>(&bytes);
    }
}
