//! The JSON Schema of scenario files for editors. It uses draft 7, which YAML language servers support best.
//!
//! The schema is derived from the types that parse a scenario, so that both accept the same keys. This module covers
//! the types with custom parsing. Further requirements (unique names, steps unless `start.refused` is true) are checked
//! only by the parser.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use tidegate_host::Level;

use crate::octets::Octets;
use crate::runtimes::RuntimeKind;
use crate::scenario::{
    AtUpstream, Awaited, AwaitedPath, LinePattern, Moment, Passing, Received, Scenario,
};

/// Returns the schema.
pub fn scenario() -> serde_json::Value {
    SchemaSettings::draft07()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<Scenario>()
        .to_value()
}

/// The schema of `not-in`: runtimes with reasons.
pub fn runtimes(_: &mut SchemaGenerator) -> Schema {
    let mut names = RuntimeKind::all().map(RuntimeKind::name).to_vec();
    names.push("envoy");
    json_schema!({
        "type": "object",
        "propertyNames": { "enum": names },
        "additionalProperties": { "type": "string", "minLength": 1 },
    })
}

/// A value that is parsed as text can have another YAML type, as in `x-count: [5]`.
impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Each character is one byte: \"\\xff\" is the byte 0xFF, and \"\\xc3\\xa9\" is \u{e9} in UTF-8.",
            "type": ["string", "number", "boolean"],
            "pattern": "^[\\u0000-\\u00ff]*$",
        })
    }
}

impl JsonSchema for LinePattern {
    fn schema_name() -> Cow<'static, str> {
        "Line".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let levels = Level::ALL
            .iter()
            .map(|level| level.name())
            .collect::<Vec<_>>();
        json_schema!({
            "description": "A line of a plugin's log, `plugin level message`, in which `*` in the message matches any text.",
            "type": "string",
            "pattern": format!("^[^ ]* ({}) ", levels.join("|")),
        })
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time in UTC, since 1970.",
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z?$",
            "examples": ["2026-01-01T00:00:00Z"],
        })
    }
}

impl JsonSchema for Passing {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration in seconds or milliseconds.",
            "type": "string",
            "pattern": "^[0-9.]+(e[0-9]+)?m?s$",
            "examples": ["1.5s", "250ms"],
        })
    }
}

impl JsonSchema for AtUpstream {
    fn schema_name() -> Cow<'static, str> {
        "AtUpstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let received = generator.subschema_for::<Received>();
        json_schema!({
            "description": "`none`, or what the upstream must receive.",
            "anyOf": [{ "const": "none" }, received],
        })
    }
}

impl JsonSchema for Awaited {
    fn schema_name() -> Cow<'static, str> {
        "Awaited".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<AwaitedPath>();
        json_schema!({
            "description": "The name of a cluster, or `upstream`, or the same with a path.",
            "anyOf": [{ "type": "string" }, path],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validator() -> jsonschema::Validator {
        jsonschema::draft7::new(&scenario()).expect("a schema")
    }

    /// Returns whether the schema and the parser accept a scenario.
    fn verdicts(scenario: &Value) -> (bool, bool) {
        let read = serde_json::from_value::<Scenario>(scenario.clone());
        (validator().is_valid(scenario), read.is_ok())
    }

    #[test]
    fn schema_and_parser_reject_the_same_scenarios() {
        let whole = json!({
            "about": "x", "plugins": [{ "guest": "p", "name": "q", "configuration-file": "c.pem", "vm-configuration": "x", "failure-policy": "open", "environment": { "A": "b" } }],
            "clock": "2026-01-01T00:00:00Z", "seed": 7, "shared-data": { "a": "b" },
            "properties": [{ "path": ["a", "b"], "value": "x" }, { "path": ["a"], "value": 5 }, { "path": ["c"], "value": 0.5 }, { "path": ["d"], "value": true }],
            "metadata": { "route": { "a": { "b": "x", "c": 1, "d": true } }, "dynamic": { "a": { "b": { "c": 0.5 } } } },
            "not-in": { "envoy": "far" },
            "upstream": [{ "path": "/", "status": 200, "headers": [["a", "b"]], "chunks": ["x"], "trailers": [["c", "d"]] }],
            "clusters": {
                "a": { "answers": [{ "path": "/", "body": "x", "hold": "head", "break": "body" }] },
                "b": "echo", "c": "refused", "d": "no-hosts",
            },
            "start": { "refused": false, "logs": ["p info x"] },
            "calls": { "a": [{ "method": "GET", "headers": { "a": ["b"] } }], "b": [] },
            "metrics": { "a": 1, "b": { "count": 2 } },
            "steps": [
                { "request": { "path": "/", "method": "GET", "headers": [["a", "b"]], "body": "x", "times": 2, "trailers": [["a", "b"]],
                    "expect": { "status": 200, "headers": { "a": ["b"] }, "body": "x", "trailers": {}, "broken": false, "upstream": "none", "logs": [] } } },
                { "begin": { "id": "a", "path": "/", "open": true } },
                { "chunk": { "id": "a", "data": "x", "end": true } },
                { "finish": { "id": "a", "expect": { "upstream": { "method": "GET", "path": "/", "headers": {}, "body": "x", "trailers": {} } } } },
                { "hangup": "a" }, { "until": "p info y" }, { "advance": "1.5s" }, { "arrived": "a" }, { "release": "a" },
                { "arrived": { "cluster": "a", "path": "/" } }, { "release": { "cluster": "a", "path": "/" } },
                { "reload": {} }, { "reload": { "plugins": [{ "guest": "p" }] } },
            ],
        });
        assert_eq!(verdicts(&whole), (true, true));
        let mut tried = 0;
        walk(&whole, &mut Vec::new(), &mut |path, value| {
            // Another kind of thing, and one thing more, at every place.
            let mut others = vec![json!({ "mars": null }), json!([[1]])];
            if let Value::Object(fields) = value {
                let mut more = fields.clone();
                more.insert("mars".to_owned(), json!({ "x": 1 }));
                others.push(Value::Object(more));
            }
            if let Value::String(_) = value {
                others.push(json!("\u{20ac} \u{20ac}"));
            }
            for other in others {
                let mut mutant = whole.clone();
                *path.iter().fold(&mut mutant, |value, part| match part {
                    Value::String(key) => &mut value[key.as_str()],
                    part => {
                        &mut value[usize::try_from(part.as_u64().expect("an item")).expect("small")]
                    }
                }) = other.clone();
                let (valid, read) = verdicts(&mutant);
                // Names of runtimes and forms of texts are looked at only when a scenario is checked.
                let (named, free) = (path.first() == Some(&json!("not-in")), other.is_string());
                assert!(
                    valid == read || (!valid && (named || free)),
                    "{path:?} = {other}: the schema says {valid}, the reader {read}"
                );
                tried += 1;
            }
        });
        assert!(tried > 150, "{tried}");
    }

    fn walk(value: &Value, path: &mut Vec<Value>, look: &mut dyn FnMut(&[Value], &Value)) {
        look(path, value);
        let children: Vec<(Value, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (json!(key), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| (json!(at), item))
                .collect(),
            _ => Vec::new(),
        };
        for (part, child) in children {
            path.push(part);
            walk(child, path, look);
            path.pop();
        }
    }

    #[test]
    fn schema_has_descriptions_and_rejects_unknown_fields() {
        let schema = scenario();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        let about = &schema["properties"]["about"];
        assert!(
            about["description"]
                .as_str()
                .is_some_and(|text| text.contains("shows"))
        );
        assert!(schema["properties"].get("file").is_none());
        assert_eq!(
            schema["definitions"]["Expect"]["additionalProperties"],
            false
        );
    }
}
