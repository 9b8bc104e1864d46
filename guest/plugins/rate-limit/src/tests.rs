//! Configurations, and requests checked against them without a proxy. The counting is tested where it is done.

mod features;
mod proxy;
#[path = "../../recipes.rs"]
mod recipes;
mod recipes_in_numbers;
mod reference;

use std::cell::RefCell;
use std::collections::HashMap;

use plugin_matching::Request;
use plugin_matching::read::{Read, Shape};
use serde_json::{Value, json};
use tidegate_guest::{ConfigError, read_config};

use crate::config::Config;
use crate::engine::{Engine, Event, Outcome};
use crate::shared::{Store, Stored};
use crate::{headers_of, rejection, rules};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

#[derive(Clone, Default)]
struct Listed(HashMap<String, String>);

impl Request for Listed {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.as_bytes().to_vec())
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.header(&path.join("/"))
    }
}

fn request(fields: &[(&str, &str)]) -> Listed {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Listed(fields.collect())
}

/// Shared data that only one worker uses.
#[derive(Default)]
struct Memory(RefCell<HashMap<String, Stored>>);

impl Store for &Memory {
    type Error = ();

    fn get(&self, key: &str) -> Result<Option<Stored>, ()> {
        Ok(self.0.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, ()> {
        let next = version.unwrap_or(0) + 1;
        let mut values = self.0.borrow_mut();
        let matches = version == values.get(key).map(|(_, version)| *version);
        if matches {
            values.insert(key.to_owned(), (value.to_vec(), next));
        }
        Ok(matches)
    }
}

fn configured(config: &Value) -> Result<Config, ConfigError> {
    read_config(config.to_string().as_bytes())
}

fn checked(config: &Value) -> Result<(), ConfigError> {
    let config = configured(config)?;
    rejection(&config.response)?;
    rules(config.rules).map(|_| ())
}

/// An engine in both scopes, each with what it counted.
struct Tested {
    memory: Memory,
    config: Value,
}

impl Tested {
    fn new(rules: Value) -> Self {
        Tested {
            memory: Memory::default(),
            config: json!({ "rules": rules }),
        }
    }

    fn engine(&self) -> Engine<&Memory> {
        let config = configured(&self.config).expect("a good configuration");
        let rules = rules(config.rules).expect("good rules");
        Engine::new(rules, 7, |rule| (&self.memory, format!("{}.", rule.name))).expect("an engine")
    }

    fn of_proxy(&self) -> Self {
        let mut config = self.config.clone();
        for rule in config["rules"].as_array_mut().expect("rules") {
            rule["scope"] = json!("proxy");
        }
        Tested {
            memory: Memory::default(),
            config,
        }
    }
}

fn check(engine: &Engine<&Memory>, request: &Listed, now: u64) -> Outcome {
    engine.check(request, now, true, |_, _| {})
}

/// Which of the requests pass, in both scopes.
fn passing(rules: Value, requests: &[(Listed, u64)]) -> Vec<bool> {
    let worker = Tested::new(rules);
    let of = |tested: &Tested| -> Vec<bool> {
        let engine = tested.engine();
        let passes = requests
            .iter()
            .map(|(request, now)| check(&engine, request, START + now).rejected.is_none());
        passes.collect()
    };
    let passed = of(&worker);
    assert_eq!(
        passed,
        of(&worker.of_proxy()),
        "both scopes decide the same"
    );
    passed
}

#[test]
fn name_and_limit_are_the_only_required_fields() {
    let all = request(&[]);
    let passed = passing(
        json!([{ "name": "all", "limit": "2/s" }]),
        &[
            (all.clone(), 0),
            (all.clone(), 0),
            (all.clone(), 0),
            (all, SECOND / 2),
        ],
    );
    assert_eq!(
        passed,
        [true, true, false, true],
        "the burst is that of the limit"
    );
}

#[test]
fn each_part_of_a_key_tells_requests_apart() {
    let token = |payload: &str| format!("Bearer e30.{payload}.c2ln");
    let (alice, bob) = (token("eyJzdWIiOiJhbGljZSJ9"), token("eyJzdWIiOiJib2IifQ"));
    let verified = "metadata/filter_metadata/envoy.filters.http.jwt_authn/payload/sub";
    for (part, field, one, other, like_one) in [
        (json!({ "header": "x-key" }), "x-key", "1", "2", "1"),
        (
            json!({ "cookie": "sid" }),
            "cookie",
            "sid=1",
            "a=1; sid=2",
            "sid=1; b=3",
        ),
        (
            json!({ "query_parameter": "key" }),
            ":path",
            "/?key=1",
            "/?key=2",
            "/a?key=1",
        ),
        (json!("path"), ":path", "/a?x", "/b", "/a?y"),
        (json!("method"), ":method", "GET", "PUT", "GET"),
        (json!("host"), ":authority", "a", "b", "a"),
        (
            json!({ "jwt_claim": { "claim": "sub" } }),
            verified,
            "alice",
            "bob",
            "alice",
        ),
        (
            json!({ "unverified_jwt_claim": { "claim": "sub" } }),
            "authorization",
            &alice,
            &bob,
            &alice,
        ),
        (
            json!({ "property": ["xds", "route_name"] }),
            "xds/route_name",
            "a",
            "b",
            "a",
        ),
        (
            json!({ "client_address": {} }),
            "source/address",
            "192.0.2.1:1",
            "192.0.2.2:1",
            "192.0.2.1:2",
        ),
        (
            json!({ "client_address": { "ipv4_prefix": 24 } }),
            "source/address",
            "192.0.2.1:1",
            "192.0.3.1:1",
            "192.0.2.7:1",
        ),
        (
            json!({ "client_address": {} }),
            "source/address",
            "[2001:db8::1]:1",
            "[2001:db8:0:1::1]:1",
            "[2001:db8::2]:1",
        ),
    ] {
        let text = part.to_string();
        let requests = [one, other, like_one].map(|value| (request(&[(field, value)]), 0));
        let rules = json!([{ "name": "one", "limit": "1/s", "key": [part, { "constant": "c" }] }]);
        assert_eq!(passing(rules, &requests), [true, true, false], "{text}");
    }
}

#[test]
fn trusted_hops_give_the_client() {
    let from = |forwarded| {
        request(&[
            ("source/address", "10.0.0.1:1"),
            ("x-forwarded-for", forwarded),
        ])
    };
    let rules = json!([{ "name": "one", "limit": "1/s", "key": [{ "client_address": { "trusted_hops": 1 } }] }]);
    let requests =
        ["192.0.2.1", "192.0.2.2", "forged, 192.0.2.1"].map(|forwarded| (from(forwarded), 0));
    assert_eq!(passing(rules, &requests), [true, true, false]);
}

#[test]
fn requests_without_a_part_are_counted_together() {
    let rules = json!([{ "name": "one", "limit": "1/s", "key": [{ "header": "x-key" }] }]);
    let requests = [&[][..], &[("x-key", "")][..], &[][..]].map(|fields| (request(fields), 0));
    assert_eq!(passing(rules, &requests), [true, true, false]);
}

#[test]
fn rules_apply_to_what_they_match() {
    let rules = json!([{
        "name": "one", "limit": "1/s",
        "match": { "path": { "prefix": "/api/" } },
        "exempt": [{ "headers": [{ "name": "x-probe" }] }],
        "overrides": [{ "match": { "headers": [{ "name": "x-tier", "string_match": { "exact": "gold" } }] }, "limit": "2/s" }],
    }]);
    let api = |fields: &[(&str, &str)]| {
        let fields = [&[(":path", "/api/a")], fields].concat();
        (request(&fields), 0)
    };
    let (other, gold, probe) = (
        (request(&[(":path", "/")]), 0),
        api(&[("x-tier", "gold")]),
        api(&[("x-probe", "1")]),
    );
    let requests = [
        api(&[]),
        api(&[]),
        other.clone(),
        other,
        probe.clone(),
        probe,
        gold.clone(),
        gold.clone(),
        gold,
    ];
    assert_eq!(
        passing(rules, &requests),
        [true, false, true, true, true, true, true, true, false]
    );
}

#[test]
fn most_restrictive_rule_wins_and_rejected_requests_are_not_counted_by_others() {
    let rules = json!([
        { "name": "all", "limit": "3/s" },
        { "name": "one", "limit": "1/s", "key": [{ "header": "x-key" }] },
    ]);
    let from = |key| (request(&[("x-key", key)]), 0);
    let requests = ["a", "a", "a", "a", "b", "c", "d"].map(from);
    assert_eq!(
        passing(rules, &requests),
        [true, false, false, false, true, true, false]
    );
}

#[test]
fn costs() {
    let all = request(&[]);
    let rules = json!([{ "name": "one", "limit": "10/s", "cost": { "number": 4 } }]);
    assert_eq!(
        passing(
            rules,
            &[(all.clone(), 0), (all.clone(), 0), (all.clone(), 0)]
        ),
        [true, true, false]
    );
    let rules = json!([{ "name": "one", "limit": "10/s", "cost": { "request_header": "x-cost" } }]);
    let requests = ["9", "1", "1"].map(|cost| (request(&[("x-cost", cost)]), 0));
    assert_eq!(passing(rules, &requests), [true, true, false]);
    let tested = Tested::new(
        json!([{ "name": "one", "limit": "10/s", "cost": { "response_bytes": 1024 } }]),
    );
    let engine = tested.engine();
    let outcome = check(&engine, &all, START);
    engine.end(&outcome.held, START, 20 * 1024 - 5);
    assert!(check(&engine, &all, START).rejected.is_some());
    assert!(
        check(&engine, &all, START + SECOND).rejected.is_some(),
        "10 of 20 have been paid back"
    );
    assert!(
        check(&engine, &all, START + SECOND + SECOND / 10)
            .rejected
            .is_none()
    );
}

#[test]
fn concurrency_is_released_when_streams_end() {
    let worker = Tested::new(json!([{ "name": "one", "limit": "2", "algorithm": "concurrency" }]));
    for tested in [worker.of_proxy(), worker] {
        let engine = tested.engine();
        let all = request(&[]);
        let first = check(&engine, &all, START);
        check(&engine, &all, START);
        assert!(check(&engine, &all, START).rejected.is_some());
        engine.end(&first.held, START + 1, 0);
        assert!(check(&engine, &all, START + 2).rejected.is_none());
        assert!(check(&engine, &all, START + 2).rejected.is_some());
        let later = START + 2 * 3600 * SECOND;
        assert!(
            check(&engine, &all, later).rejected.is_none(),
            "leases expire"
        );
    }
}

#[test]
fn shadow_mode_and_percentages_reject_only_a_share() {
    let events = |rule: Value| {
        let tested = Tested::new(json!([rule]));
        let engine = tested.engine();
        let counts = RefCell::new(HashMap::new());
        for _ in 0..100 {
            engine.check(&request(&[]), START, false, |_, event| {
                *counts.borrow_mut().entry(event).or_insert(0) += 1;
            });
        }
        let counts = counts.into_inner();
        [
            Event::Enabled,
            Event::Ok,
            Event::NearLimit,
            Event::RateLimited,
            Event::Enforced,
        ]
        .map(|event| counts.get(&event).copied().unwrap_or(0))
    };
    let rule = |more: Value| {
        let mut rule = json!({ "name": "one", "limit": "10/s" });
        rule.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        events(rule)
    };
    assert_eq!(rule(json!({})), [100, 10, 3, 90, 90]);
    assert_eq!(rule(json!({ "shadow_mode": true })), [100, 10, 3, 90, 0]);
    assert_eq!(
        rule(json!({ "filter_enforced": { "numerator": 50 } })),
        [100, 10, 3, 90, 45]
    );
    assert_eq!(
        rule(json!({ "filter_enabled": { "numerator": 2500, "denominator": "TEN_THOUSAND" } })),
        [25, 10, 3, 15, 15]
    );
    assert_eq!(
        rule(json!({ "filter_enabled": { "numerator": 0 } })),
        [0, 0, 0, 0, 0]
    );
}

#[test]
fn headers_tell_what_is_left() {
    let tested = Tested::new(json!([
        { "name": "all", "limit": "600/1m", "burst": 100 },
        { "name": "one", "limit": "2/s", "algorithm": "fixed_window" },
        { "name": "busy", "limit": "50", "algorithm": "concurrency" },
        { "name": "fast", "limit": "5/100ms", "match": { "methods": ["PUT"] } },
    ]));
    let engine = tested.engine();
    let config = configured(&json!({ "rules": [], "response": {
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03", "enable_ratelimit_headers": true, "enable_retry_after_header": true,
    }}))
    .expect("a good configuration");
    let headers = |method: &str, now: u64| -> Vec<String> {
        let outcome = check(&engine, &request(&[(":method", method)]), START + now);
        let headers = headers_of(&engine, &config.response, &outcome);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    };
    assert_eq!(
        headers("PUT", 0),
        [
            "x-ratelimit-limit: 2",
            "x-ratelimit-remaining: 1",
            "x-ratelimit-reset: 1",
            r#"ratelimit-policy: "all";q=600;w=60, "one";q=2;w=1, "busy";q=50;qu="concurrent-requests", "fast";q=5"#,
            r#"ratelimit: "all";r=99;t=1, "one";r=1;t=1, "busy";r=49, "fast";r=4;t=1"#,
        ]
    );
    headers("GET", 0);
    assert_eq!(
        headers("GET", SECOND / 2),
        [
            "retry-after: 1",
            "x-ratelimit-limit: 2",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 1",
            r#"ratelimit-policy: "all";q=600;w=60, "one";q=2;w=1"#,
            r#"ratelimit: "all";r=99;t=1, "one";r=0;t=1"#,
        ]
    );
}

#[test]
fn rejected_requests_are_answered_as_configured() {
    let response = |response: Value| {
        let config = configured(&json!({ "rules": [], "response": response })).expect("good");
        format!(
            "{:?}",
            rejection(&config.response).expect("a good response")
        )
    };
    assert!(response(json!({})).contains("429"));
    let text = response(json!({
        "status": 503, "rate_limited_as_resource_exhausted": true,
        "response_headers_to_add": [{ "name": "X-Why", "value": "limit" }],
    }));
    for part in ["503", "x-why", "local_rate_limited", "grpc-status: Some(8)"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn invalid_configurations_are_rejected_with_their_path() {
    let rule = |more: Value| {
        let mut rule = json!({ "name": "a", "limit": "1/s" });
        rule.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        json!({ "rules": [rule] })
    };
    for (config, reason) in [
        (json!({}), "rules: expected at least one rule"),
        (json!({ "rules": [] }), "rules: expected at least one rule"),
        (
            json!({ "rules": [{ "name": "a" }] }),
            "rules[0].limit: missing",
        ),
        (
            json!({ "rate": 5 }),
            "rate: replaced by `limit` of a rule, as in {\"rules\":[{\"name\":\"all\",\"limit\":\"10/s\"}]}",
        ),
        (
            json!({ "status": 403 }),
            "status: replaced by `response.status`",
        ),
        (
            json!({ "headers": [] }),
            "headers: replaced by `response.response_headers_to_add`",
        ),
        (
            json!({ "limits": 2 }),
            "limits: unknown field, expected `rules`, `response`, `stat_prefix` or `request_headers_to_add_when_not_enforced`",
        ),
        (
            rule(json!({ "name": "a b" })),
            "rules[0].name: expected letters, digits, `_`, `-` and `.`",
        ),
        (
            rule(json!({ "limit": 5 })),
            "rules[0].limit: expected a string, got 5",
        ),
        (
            rule(json!({ "limit": "5/w" })),
            "rules[0].limit: expected a limit such as 10/s, 1000/1h or 5/100ms",
        ),
        (
            rule(json!({ "limit": "5" })),
            "rules[0].limit: expected an interval, as in 10/s",
        ),
        (
            rule(json!({ "limit": "1/10000d", "burst": 10_000_000 })),
            "rules[0].limit: too large to be counted in nanoseconds: use a shorter interval or a smaller burst",
        ),
        (
            rule(json!({ "burst": 0 })),
            "rules[0].burst: expected at least 1",
        ),
        (
            rule(json!({ "algorithm": "fixed_window", "burst": 2 })),
            "rules[0].burst: is only for the algorithm `token_bucket`",
        ),
        (
            rule(json!({ "algorithm": "leaky" })),
            "rules[0].algorithm: expected `token_bucket`, `sliding_window`, `fixed_window` or `concurrency`, got \"leaky\"",
        ),
        (
            rule(json!({ "algorithm": "concurrency" })),
            "rules[0].limit: expected a number such as 100 for the algorithm `concurrency`",
        ),
        (
            rule(json!({ "lease": "1h" })),
            "rules[0].lease: is only for the algorithm `concurrency`",
        ),
        (
            rule(json!({ "cost": { "response_bytes": 0 } })),
            "rules[0].cost.response_bytes: expected at least 1",
        ),
        (
            rule(json!({ "max_dynamic_descriptors": 0 })),
            "rules[0].max_dynamic_descriptors: expected 1 to 10000000",
        ),
        (
            rule(json!({ "key": [{ "header": "a" }, { "header": "a b" }] })),
            "rules[0].key[1].header: expected a header name",
        ),
        (
            rule(json!({ "key": ["path", { "client_address": { "ipv4_prefix": 33 } }] })),
            "rules[0].key[1].client_address: expected an `ipv4_prefix` of at most 32 and an `ipv6_prefix` of at most 128",
        ),
        (
            rule(json!({ "match": { "headers": [{ "name": "a", "string_match": {} }] } })),
            "rules[0].match.headers[0].string_match: expected exactly one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`",
        ),
        (
            rule(json!({ "overrides": [{ "match": {}, "limit": "1/s", "burst": 0 }] })),
            "rules[0].overrides[0].burst: expected at least 1",
        ),
        (
            json!({ "rules": [{ "name": "a", "limit": "1/s" }, { "name": "a", "limit": "2/s" }] }),
            "rules[1].name: expected a name that no other rule has",
        ),
        (
            json!({ "rules": [], "response": { "status": 99 } }),
            "response.status: expected 200 to 599",
        ),
        (
            json!({ "rules": [], "response": { "response_headers_to_add": [{ "name": "a", "value": "" }, { "name": ":status", "value": "1" }] } }),
            "response.response_headers_to_add[1].name: expected a header name: the status has a field of its own",
        ),
    ] {
        let error = checked(&config).expect_err(reason);
        assert_eq!(error.to_string(), reason);
    }
}

#[test]
fn null_is_as_absent() {
    checked(&json!({ "rules": [{ "name": "a", "limit": "1/s", "burst": null, "match": null }], "response": null }))
        .expect("a good configuration");
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(Config)).expect("a schema is JSON")
}

/// The schema is that of the types; what is read is defined by their shapes. Both have the same names everywhere.
#[test]
fn shapes_have_the_fields_of_the_schema() {
    fn compare(schema: &Value, root: &Value, shape: &Shape, path: &str) {
        let target = schema.get("$ref").and_then(Value::as_str).map(|name| {
            let name = name.trim_start_matches('#');
            root.pointer(name).expect("a definition")
        });
        if let Some(target) = target {
            return compare(target, root, shape, path);
        }
        // What may be null.
        if let Some([first, null]) = schema
            .get("anyOf")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            && null["type"] == "null"
        {
            return compare(first, root, shape, path);
        }
        match shape {
            Shape::List(element) => compare(&schema["items"], root, element, path),
            Shape::Checked(shape, _) => compare(schema, root, shape, path),
            Shape::Object(object) => {
                let properties = schema["properties"].as_object().expect(path);
                let mut expected: Vec<&str> = properties.keys().map(String::as_str).collect();
                let mut names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                expected.sort_unstable();
                names.sort_unstable();
                assert_eq!(names, expected, "{path}");
                let required = schema["required"].as_array();
                for field in object.fields {
                    let name = field.name;
                    let is_required = required.is_some_and(|it| it.iter().any(|it| it == name));
                    // An absent list is empty, which the check of the configuration refuses where the schema does.
                    let is_list = matches!(field.shape, Shape::List(_));
                    assert!(is_list || is_required == field.is_required, "{path}.{name}");
                    compare(
                        &properties[name],
                        root,
                        field.shape,
                        &format!("{path}.{name}"),
                    );
                }
            }
            Shape::Word(_) | Shape::Choice(_) => {
                let (names, shapes): (Vec<&str>, Vec<&Shape>) = match shape {
                    Shape::Choice(object) => {
                        let fields = object.fields.iter();
                        fields.map(|field| (field.name, field.shape)).unzip()
                    }
                    Shape::Word(words) => (words.to_vec(), Vec::new()),
                    _ => unreachable!("only these are matched"),
                };
                let choices = schema["oneOf"]
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![schema.clone()]);
                let mut found = Vec::new();
                for choice in &choices {
                    if let Some(name) = choice["const"].as_str() {
                        found.push(name.to_owned());
                    }
                    let alone = choice["enum"].as_array().into_iter().flatten();
                    found.extend(alone.filter_map(|name| name.as_str().map(str::to_owned)));
                    let properties = choice["properties"].as_object().into_iter().flatten();
                    for (name, value) in properties {
                        let index = names.iter().position(|it| it == name).expect(name);
                        compare(value, root, shapes[index], &format!("{path}.{name}"));
                        found.push(name.clone());
                    }
                }
                let mut expected: Vec<String> =
                    names.iter().map(|name| (*name).to_owned()).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{path}");
            }
            Shape::OneOf(_) => panic!("{path}: no type has such a shape"),
            Shape::Nothing | Shape::Bool | Shape::Number | Shape::Text => {}
        }
    }
    let schema = schema();
    compare(&schema, &schema, Config::SHAPE, "");
}

/// `BLESS=1 cargo test -p rate-limit` writes the schema that `#[plugin]` puts into the plugin.
#[test]
fn schema_file_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
    let schema = serde_json::to_string_pretty(&schema()).expect("a schema is JSON") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &schema).expect("the schema can be written");
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        written, schema,
        "BLESS=1 cargo test -p rate-limit writes config.schema.json anew"
    );
}
