//! Edits on a set of fields of our own, configurations, and the schema.

use std::cell::RefCell;

use serde_json::json;
use tidegate_guest::{ConfigError, FieldName, FieldValue, Plugin, read_config};

use crate::{Config, Headers, edits::Target};

/// Fields without a proxy.
struct Listed(RefCell<Vec<(String, String)>>);

impl Target for Listed {
    fn has(&self, name: &FieldName) -> bool {
        self.0.borrow().iter().any(|(field, _)| **field == **name)
    }

    fn set(&self, name: &FieldName, value: &FieldValue) {
        self.remove(name);
        self.append(name, value);
    }

    fn append(&self, name: &FieldName, value: &FieldValue) {
        self.0
            .borrow_mut()
            .push((name.to_string(), value.to_string()));
    }

    fn remove(&self, name: &FieldName) {
        self.0.borrow_mut().retain(|(field, _)| **field != **name);
    }
}

fn configured(config: serde_json::Value) -> Result<Config, ConfigError> {
    let config = config.to_string();
    Headers::configure(read_config(config.as_bytes())?)?;
    read_config(config.as_bytes())
}

#[test]
fn edits_apply_as_remove_set_append_add() {
    let config = configured(json!({ "response": {
        "add": [{ "name": "x-new", "value": "1" }, { "name": "x-old", "value": "no" }, { "name": "x-gone", "value": "back" }],
        "append": [{ "name": "x-old", "value": "2" }, { "name": "x-old", "value": "3" }],
        "set": [{ "name": "X-Set", "value": "only" }],
        "remove": ["x-gone"],
    }}))
    .expect("a good configuration");
    let fields = [
        ("x-old", "1"),
        ("x-set", "a"),
        ("x-set", "b"),
        ("x-gone", "1"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let target = Listed(RefCell::new(fields.to_vec()));
    config.response.apply(&target);
    let after = target.0.into_inner();
    let after: Vec<String> = after
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        after,
        [
            "x-old: 1",
            "x-set: only",
            "x-old: 2",
            "x-old: 3",
            "x-new: 1",
            "x-gone: back"
        ]
    );
}

#[test]
fn empty_configuration_changes_nothing() {
    let target = Listed(RefCell::new(vec![("a".to_owned(), "b".to_owned())]));
    configured(json!({}))
        .expect("an empty configuration")
        .request
        .apply(&target);
    assert_eq!(target.0.into_inner(), [("a".to_owned(), "b".to_owned())]);
}

#[test]
fn invalid_configurations_are_rejected_with_their_path() {
    for (config, reason) in [
        (
            json!({ "requests": {} }),
            "requests: unknown field, expected `request` or `response`",
        ),
        (
            json!({ "request": { "set": [{ "name": "a b", "value": "" }] } }),
            "request.set[0].name: expected a header name, got \"a b\"",
        ),
        (
            json!({ "response": { "append": [{ "name": "a", "value": "b\n" }] } }),
            "response.append[0].value: expected a header value, which has no control characters, got \"b \"",
        ),
        (
            json!({ "request": { "set": [{ "name": "a" }] } }),
            "request.set[0].value: missing",
        ),
        (
            json!({ "request": { "remove": ["x", ":path"] } }),
            "request.remove[1]: `:path` can be set, and nothing else",
        ),
        (
            json!({ "response": { "add": [{ "name": ":status", "value": "200" }] } }),
            "response.add[0].name: `:status` can be set, and nothing else",
        ),
        (
            json!({ "response": { "set": [{ "name": "a", "value": "" }, { "name": ":path", "value": "/" }] } }),
            "response.set[1].name: a response has no `:path`, it has `:status`",
        ),
        (
            json!({ "request": { "set": [{ "name": ":status", "value": "200" }] } }),
            "request.set[0].name: a request has no `:status`, it has `:method`, `:path`, `:authority` and `:scheme`",
        ),
        (
            json!({ "request": { "remove": ["Host"] } }),
            "request.remove[0]: `host` can be set, and nothing else",
        ),
        (
            json!({ "request": { "append": [{ "name": "host", "value": "a" }] } }),
            "request.append[0].name: `host` can be set, and nothing else",
        ),
        (
            json!({ "request": { "add": [{ "name": "host", "value": "a" }] } }),
            "request.add[0].name: `host` can be set, and nothing else",
        ),
    ] {
        let error = configured(config).expect_err(reason);
        assert_eq!(error.to_string(), reason);
    }
}

#[test]
fn pseudo_headers_can_be_set_on_their_own_side() {
    for name in [":method", ":path", ":authority", ":scheme", "host"] {
        configured(json!({ "request": { "set": [{ "name": name, "value": "a" }] } })).expect(name);
    }
    configured(json!({ "response": { "set": [{ "name": ":status", "value": "204" }] } }))
        .expect(":status may be set");
    // To a response it is a header like any other.
    configured(json!({ "response": { "remove": ["host"] } })).expect("host may be removed");
}

/// `BLESS=1 cargo test -p headers` writes the schema that `#[plugin]` puts into the plugin.
#[test]
fn schema_file_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config))
        .expect("a schema is JSON")
        + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &schema).expect("the schema can be written");
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        written, schema,
        "BLESS=1 cargo test -p headers writes config.schema.json anew"
    );
}
