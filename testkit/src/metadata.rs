//! Metadata that a scenario states: that of the route, and the dynamic metadata of every stream.
//!
//! In Envoy, it is part of the bootstrap (see `deploy/src/envoy.rs`). In Tidegate's proxy, which has no routes, it consists of
//! attributes (see [`surroundings`](crate::surroundings)). Only values that plugins can read in the same form in both can be stated. Lists
//! and `null` are not among them: Envoy serializes a list, and cannot serialize `null`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::octets::Octets;
use crate::surroundings::{Property, PropertyValue};

/// Metadata of the route, and dynamic metadata of every stream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metadata {
    /// Metadata of the route, by namespace. Plugins read it as the properties `xds.route_metadata.filter_metadata.NAMESPACE.KEY`.
    #[serde(default)]
    pub route: Namespaces,
    /// Dynamic metadata of every stream, by namespace, as other filters set it. Plugins read it as the properties
    /// `metadata.filter_metadata.NAMESPACE.KEY`.
    #[serde(default)]
    pub dynamic: Namespaces,
}

/// The contents of namespaces, by the name of the namespace.
pub type Namespaces = BTreeMap<String, Fields>;

/// The values of a mapping, by key.
pub type Fields = BTreeMap<String, MetadataValue>;

/// A value in metadata. Plugins read the values in a mapping one by one.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a string, a number, a boolean or a mapping of these; lists and `null` are not supported"
)]
pub enum MetadataValue {
    /// A boolean, encoded as one byte.
    Boolean(bool),
    /// A number, encoded as a double, even if it is an integer.
    Number(f64),
    /// A string, encoded in UTF-8.
    Text(String),
    /// Values by key.
    Mapping(Fields),
}

/// The segments of a path before the namespace, for metadata of the route.
const ROUTE_PATH: &[&str] = &["xds", "route_metadata", "filter_metadata"];

/// The same for dynamic metadata.
const DYNAMIC_PATH: &[&str] = &["metadata", "filter_metadata"];

/// Returns namespaces in the form in which a bootstrap contains them.
pub fn to_json(namespaces: &Namespaces) -> serde_json::Result<Map<String, Value>> {
    let namespaces = namespaces.iter();
    namespaces
        .map(|(name, fields)| serde_json::to_value(fields).map(|fields| (name.clone(), fields)))
        .collect()
}

// === impl Metadata ===

impl Metadata {
    /// Returns the properties by which plugins read the metadata: one for each value that is not a mapping.
    pub fn properties(&self) -> Vec<Property> {
        let mut properties = Vec::new();
        for (root, namespaces) in [(ROUTE_PATH, &self.route), (DYNAMIC_PATH, &self.dynamic)] {
            let root: Vec<String> = root.iter().map(|segment| (*segment).to_owned()).collect();
            for (name, fields) in namespaces {
                collect(&below(&root, name), fields, &mut properties);
            }
        }
        properties
    }
}

/// Adds a property for each value in the mapping at a path.
fn collect(path: &[String], fields: &Fields, properties: &mut Vec<Property>) {
    for (key, value) in fields {
        let path = below(path, key);
        let value = match value {
            MetadataValue::Boolean(value) => PropertyValue::Boolean(*value),
            MetadataValue::Number(value) => PropertyValue::Number(*value),
            MetadataValue::Text(text) => PropertyValue::Text(Octets::from(text.as_bytes())),
            MetadataValue::Mapping(fields) => {
                collect(&path, fields, properties);
                continue;
            }
        };
        properties.push(Property { path, value });
    }
}

fn below(path: &[String], segment: &str) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(segment.to_owned());
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
route:
  a.b: { text: é, five: 5, nested: { deep: { half: 0.5 } } }
dynamic:
  c: { quoted: '5', flag: true, none: {} }
";

    fn metadata() -> Metadata {
        serde_saphyr::from_str(TEXT).expect("metadata")
    }

    #[test]
    fn each_value_is_a_property() {
        let properties = metadata().properties();
        let seen: Vec<(String, &PropertyValue)> = properties
            .iter()
            .map(|property| (property.path.join("/"), &property.value))
            .collect();
        let text = |text: &str| PropertyValue::Text(Octets(text.as_bytes().to_vec()));
        let route = "xds/route_metadata/filter_metadata/a.b";
        let dynamic = "metadata/filter_metadata/c";
        assert_eq!(
            seen,
            [
                (format!("{route}/five"), &PropertyValue::Number(5.0)),
                (
                    format!("{route}/nested/deep/half"),
                    &PropertyValue::Number(0.5)
                ),
                (format!("{route}/text"), &text("\u{e9}")),
                (format!("{dynamic}/flag"), &PropertyValue::Boolean(true)),
                (format!("{dynamic}/quoted"), &text("5")),
            ]
        );
    }

    #[test]
    fn bootstrap_contains_the_same_values() {
        let metadata = metadata();
        assert_eq!(
            to_json(&metadata.route).expect("JSON"),
            *json!({ "a.b": { "text": "\u{e9}", "five": 5.0, "nested": { "deep": { "half": 0.5 } } } })
                .as_object()
                .expect("an object")
        );
        assert_eq!(
            to_json(&metadata.dynamic).expect("JSON"),
            *json!({ "c": { "quoted": "5", "flag": true, "none": {} } })
                .as_object()
                .expect("an object")
        );
    }
}
