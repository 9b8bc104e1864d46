//! Matchers as they are configured, on requests in a map.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use tidegate_guest::read_config;

use crate::*;

#[derive(Default)]
struct Listed {
    headers: HashMap<String, Vec<u8>>,
    properties: HashMap<String, Vec<u8>>,
}

impl Request for Listed {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers.get(name).cloned()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.properties.get(&path.join(".")).cloned()
    }
}

fn request(headers: &[(&str, &str)]) -> Listed {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    Listed {
        headers: headers.collect(),
        properties: HashMap::new(),
    }
}

fn from(source: &str, forwarded: &str) -> Listed {
    let mut request = request(&[("x-forwarded-for", forwarded)]);
    request
        .properties
        .insert("source.address".to_owned(), source.as_bytes().to_vec());
    request
}

fn parsed<T: serde::de::DeserializeOwned>(config: serde_json::Value) -> Result<T, String> {
    read_config(config.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn matches(condition: serde_json::Value, request: &Listed) -> bool {
    parsed::<Condition>(condition)
        .expect("a good condition")
        .matches(request)
}

#[test]
fn strings_match_as_in_envoy() {
    for (matcher, good, bad) in [
        (json!({ "exact": "abc" }), "abc", "Abc"),
        (json!({ "prefix": "ab" }), "abc", "cab"),
        (json!({ "suffix": "bc" }), "abc", "bca"),
        (json!({ "contains": "b" }), "abc", "ac"),
        (json!({ "contains": "" }), "", "-"),
        (json!({ "exact": "aBc", "ignore_case": true }), "AbC", "ab"),
    ] {
        let text = matcher.to_string();
        let matcher: StringMatcher = parsed(matcher).expect("a good matcher");
        assert!(matcher.matches(good.as_bytes()), "{text}");
        assert!(bad == "-" || !matcher.matches(bad.as_bytes()), "{text}");
    }
}

#[cfg(feature = "regex")]
#[test]
fn regular_expressions_match_the_whole_string() {
    let matcher: StringMatcher =
        parsed(json!({ "safe_regex": { "regex": "a|ab" } })).expect("good");
    assert!(matcher.matches(b"a") && matcher.matches(b"ab"));
    assert!(!matcher.matches(b"abc") && !matcher.matches(b"ba") && !matcher.matches(b"a\xff"));
    for bad in ["a)|(b", "(", "a{9999}{9999}"] {
        let error =
            parsed::<StringMatcher>(json!({ "safe_regex": { "regex": bad } })).expect_err(bad);
        assert!(
            error.starts_with("safe_regex: expected a regular expression"),
            "{error}"
        );
    }
}

#[cfg(not(feature = "regex"))]
#[test]
fn regular_expressions_are_refused_without_the_feature() {
    let error =
        parsed::<StringMatcher>(json!({ "safe_regex": { "regex": "a" } })).expect_err("refused");
    assert!(
        error.contains("built without regular expressions"),
        "{error}"
    );
}

#[test]
fn errors_have_paths() {
    for (condition, reason) in [
        (
            json!({ "headers": [{ "name": "a", "string_match": {} }] }),
            "headers[0].string_match: expected exactly one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`",
        ),
        (
            json!({ "source_cidr": ["10.0.0.0/8", "10.0.0.0/33"] }),
            "source_cidr[1]: expected an IP address, or a range of addresses such as 10.0.0.0/8",
        ),
        (
            json!({ "path": { "template": "/a/**/b" } }),
            "path.template: `**` is allowed only at the end of a path template",
        ),
        (
            json!({ "path": { "template": "/a{b}" } }),
            "path.template: expected segments that are literal, `*`, `**`, `{name}`, `{name=*}` or `{name=**}`",
        ),
        (
            json!({ "path": { "suffix": "/a" } }),
            "path.suffix: expected `exact`, `prefix`, `safe_regex` or `template`, got \"suffix\"",
        ),
        (
            json!({ "path": { "exact": null } }),
            "path.exact: expected a value, got null",
        ),
        (
            json!({ "path": "exact" }),
            "path: expected an object with this field",
        ),
        (
            json!({ "path": "exactly" }),
            "path: expected `exact`, `prefix`, `safe_regex` or `template`, got \"exactly\"",
        ),
        (
            json!({ "path": {} }),
            "path: expected exactly one of the fields `exact`, `prefix`, `safe_regex` or `template`",
        ),
        (
            json!({ "path": 1 }),
            "path: expected a name, or an object with one field, got 1",
        ),
        (
            json!({ "headers": [{ "present_match": true }] }),
            "headers[0].name: missing",
        ),
        (
            json!({ "headers": [{ "name": null }] }),
            "headers[0].name: missing",
        ),
        (
            json!({ "methods": [1] }),
            "methods[0]: expected a string, got 1",
        ),
        (
            json!({ "trusted_hops": -20 }),
            "trusted_hops: expected a non-negative integer, got -20",
        ),
        (
            json!({ "trusted_hops": 4_294_967_296_u64 }),
            "trusted_hops: expected at most 4294967295",
        ),
    ] {
        assert_eq!(
            parsed::<Condition>(condition).err().as_deref(),
            Some(reason)
        );
    }
}

#[test]
fn fields_are_given_once() {
    let error = read_config::<Condition>(br#"{ "methods": [], "methods": ["GET"] }"#);
    assert_eq!(
        error.expect_err("refused").to_string(),
        "methods: given twice"
    );
}

/// Types of a plugin, of which one has every shape that a condition does not have.
#[test]
fn names_and_objects_are_read_by_their_shapes() {
    crate::choice! {
        #[derive(Debug, PartialEq, Eq)]
        enum Word {
            One = "one",
            Two = "two",
        }
    }
    crate::choice! {
        #[derive(Debug, PartialEq, Eq)]
        enum Choice {
            Alone = "alone",
            Text(String) = "text",
        }
    }
    crate::readable! {
        #[derive(Debug, PartialEq, Eq)]
        struct Both {
            word: Word = Word::Two,
            choice: Option<Choice>,
            number: u64 = 7,
        }
        replaced {
            "name" => "renamed to `word`",
        }
    }
    crate::deserialize_by_shape!(Both);
    let both = |word, choice, number| Both {
        word,
        choice,
        number,
    };
    for (config, expected) in [
        (json!({}), Ok(both(Word::Two, None, 7))),
        (json!({ "word": "one" }), Ok(both(Word::One, None, 7))),
        (
            json!({ "choice": "alone", "number": u64::MAX }),
            Ok(both(Word::Two, Some(Choice::Alone), u64::MAX)),
        ),
        // YAML without a value.
        (
            json!({ "choice": { "alone": null } }),
            Ok(both(Word::Two, Some(Choice::Alone), 7)),
        ),
        (
            json!({ "choice": { "text": "a" } }),
            Ok(both(Word::Two, Some(Choice::Text("a".to_owned())), 7)),
        ),
        (
            json!({ "choice": { "alone": {} } }),
            Err("choice.alone: expected no value"),
        ),
        (
            json!({ "word": "three" }),
            Err("word: expected `one` or `two`, got \"three\""),
        ),
        (json!({ "name": "one" }), Err("name: renamed to `word`")),
        (
            json!({ "size": 1 }),
            Err("size: unknown field, expected `word`, `choice` or `number`"),
        ),
    ] {
        let read = parsed::<Both>(config.clone());
        assert_eq!(
            read.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|it| *it),
            "{config}"
        );
    }
}

#[test]
fn every_field_of_a_condition_has_to_match() {
    let mut request = request(&[
        (":authority", "Shop.Example:8080"),
        (":path", "/users/7/orders?page=2&q=a%20b"),
        (":method", "GET"),
        ("x-tier", "gold"),
    ]);
    let property = ("xds.route_name".to_owned(), b"main".to_vec());
    request.properties.extend([
        property,
        ("source.address".to_owned(), b"10.1.2.3:4711".to_vec()),
    ]);
    for (condition, expected) in [
        (json!({}), true),
        (json!({ "host": { "exact": "shop.example" } }), true),
        (json!({ "host": { "suffix": ".org" } }), false),
        (json!({ "path": { "prefix": "/users/" } }), true),
        (json!({ "path": { "exact": "/users/7/orders" } }), true),
        (
            json!({ "path": { "template": "/users/{id}/orders" } }),
            true,
        ),
        (json!({ "path": { "template": "/users/*" } }), false),
        (json!({ "path": { "template": "/users/{rest=**}" } }), true),
        (
            json!({ "path": { "template": "/users/7/orders/**" } }),
            false,
        ),
        (json!({ "methods": ["PUT", "GET"] }), true),
        (json!({ "methods": ["get"] }), false),
        (json!({ "headers": [{ "name": "X-Tier" }] }), true),
        (
            json!({ "headers": [{ "name": "x-tier", "string_match": { "exact": "gold" } }] }),
            true,
        ),
        (
            json!({ "headers": [{ "name": "x-tier", "string_match": { "exact": "gold" }, "invert_match": true }] }),
            false,
        ),
        (
            json!({ "headers": [{ "name": "x-none", "string_match": { "exact": "gold" }, "invert_match": true }] }),
            false,
        ),
        (
            json!({ "headers": [{ "name": "x-none", "present_match": false }] }),
            true,
        ),
        (
            json!({ "headers": [{ "name": "x-none", "invert_match": true }] }),
            true,
        ),
        (
            json!({ "headers": [{ "name": "x-tier", "present_match": false }] }),
            false,
        ),
        (
            json!({ "query_parameters": [{ "name": "q", "string_match": { "exact": "a b" } }] }),
            true,
        ),
        (json!({ "query_parameters": [{ "name": "r" }] }), false),
        (
            json!({ "source_cidr": ["192.0.2.0/24", "10.0.0.0/8"] }),
            true,
        ),
        (json!({ "source_cidr": ["192.0.2.0/24"] }), false),
        (
            json!({ "properties": [{ "path": ["xds", "route_name"], "string_match": { "prefix": "ma" } }] }),
            true,
        ),
        (
            json!({ "properties": [{ "path": ["xds", "other"] }] }),
            false,
        ),
        (
            json!({ "methods": ["GET"], "host": { "exact": "other" } }),
            false,
        ),
    ] {
        let text = condition.to_string();
        assert_eq!(matches(condition, &request), expected, "{text}");
    }
}

#[test]
fn client_is_behind_the_trusted_hops() {
    let client = |source, forwarded, hops| {
        client_address(&from(source, forwarded), hops).map(|address| address.to_string())
    };
    for (source, forwarded, hops, expected) in [
        ("192.0.2.7:80", "198.51.100.1", 0, "192.0.2.7"),
        // This proxy does not append the source address.
        (
            "192.0.2.7:80",
            "203.0.113.9, 198.51.100.1",
            1,
            "198.51.100.1",
        ),
        (
            "192.0.2.7:80",
            "203.0.113.9, 198.51.100.1",
            2,
            "203.0.113.9",
        ),
        // It does.
        (
            "192.0.2.7:80",
            "203.0.113.9, 198.51.100.1, 192.0.2.7",
            1,
            "198.51.100.1",
        ),
        (
            "192.0.2.7:80",
            "203.0.113.9,198.51.100.1,192.0.2.7",
            2,
            "203.0.113.9",
        ),
        // The list is too short, or is not one.
        ("192.0.2.7:80", "198.51.100.1", 2, "192.0.2.7"),
        ("192.0.2.7:80", "unknown", 1, "192.0.2.7"),
        ("192.0.2.7:80", "", 1, "192.0.2.7"),
        ("[2001:db8::1]:80", "2001:db8::2", 1, "2001:db8::2"),
        ("[::ffff:192.0.2.7]:80", "", 0, "192.0.2.7"),
    ] {
        assert_eq!(
            client(source, forwarded, hops).as_deref(),
            Some(expected),
            "{forwarded} {hops}"
        );
    }
    assert_eq!(client_address(&request(&[]), 0), None);
}

#[test]
fn parts_of_requests() {
    assert_eq!(path_of("/a?b#c"), "/a");
    assert_eq!(query_parameter("/a?b=1&b=2", "b"), Some(b"1".to_vec()));
    assert_eq!(query_parameter("/a?b", "b"), Some(Vec::new()));
    assert_eq!(query_parameter("/a?%62=%4", "b"), Some(b"%4".to_vec()));
    assert_eq!(query_parameter("/a", "b"), None);
    let cookies = b"a=1; b=\"two\";c = 3; b=4";
    assert_eq!(cookie(cookies, "a"), Some(&b"1"[..]));
    assert_eq!(cookie(cookies, "b"), Some(&b"two"[..]));
    assert_eq!(cookie(cookies, "c"), Some(&b"3"[..]));
    assert_eq!(cookie(cookies, "d"), None);
}

proptest! {
    /// No input makes a matcher panic.
    #[test]
    fn nothing_panics(bytes: Vec<u8>, text: String, prefix: u8) {
        let _ = address_of(&bytes);
        let _ = cookie(&bytes, &text);
        let _ = query_parameter(&text, "a");
        let _ = Cidr::parse(&text);
        let _ = parsed::<Condition>(json!({ "path": { "template": text } }))
            .is_ok_and(|condition| condition.matches(&request(&[(":path", "/a"), (":authority", &text)])));
        let address = std::net::Ipv4Addr::from_bits(u32::from(prefix) << 24).into();
        if let Some(cidr) = Cidr::parse(&format!("{address}/{}", prefix % 33)) {
            prop_assert!(cidr.contains(address));
        }
    }
}

#[cfg(feature = "schema")]
#[test]
fn schemas_describe_the_fields_of_compiled_types() {
    let schema =
        serde_json::to_string(&schemars::schema_for!(Condition)).expect("a schema is JSON");
    for field in [
        "safe_regex",
        "ignore_case",
        "template",
        "invert_match",
        "source_cidr",
    ] {
        assert!(
            schema.contains(&format!("\"{field}\"")),
            "{field}: {schema}"
        );
    }
}
