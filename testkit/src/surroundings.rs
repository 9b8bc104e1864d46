//! The initial environment of a scenario apart from the request: shared data and properties.
//!
//! Neither can be set in Envoy from outside, so scenarios that use them are skipped there. See `host/semantics/src/shared_data.rs`
//! and `host/semantics/src/attributes.rs` for details. [`metadata`](crate::metadata) can be set in Envoy. In Tidegate's proxy, it consists of
//! attributes, too.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_host::{Attributes, SharedData};

use crate::metadata::Metadata;
use crate::octets::Octets;

/// A property of every stream.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Property {
    /// The segments of the path, such as `[source, address]`.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub path: Vec<String>,
    /// A string, a number or a boolean. It is encoded as in Envoy: an integer, for example, as eight bytes in little-endian order.
    pub value: PropertyValue,
}

/// A value, whose type determines its encoding.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
pub enum PropertyValue {
    /// A boolean, encoded as one byte.
    Boolean(bool),
    /// An integer, encoded as eight bytes.
    Integer(i64),
    /// Any other number, encoded as a double.
    Number(f64),
    /// A string, passed as its bytes.
    Text(Octets),
}

/// Creates the initial shared data of a scenario.
pub fn shared_data(stated: &BTreeMap<String, Octets>) -> Result<SharedData> {
    let data = SharedData::default();
    for (key, value) in stated {
        data.set(key.as_bytes(), value.0.clone().into(), 0)?;
    }
    Ok(data)
}

/// Creates the attributes that a scenario defines for every stream. Properties take precedence over metadata.
pub fn attributes(metadata: &Metadata, properties: &[Property]) -> Attributes {
    let mut attributes = Attributes::default();
    for Property { path, value } in metadata.properties().iter().chain(properties) {
        let path = path.iter().map(String::as_str);
        attributes.insert(path, value.bytes().into());
    }
    attributes
}

// === impl Property ===

impl Property {
    /// Checks that this is a valid property.
    pub fn check(&self) -> Result<()> {
        let shown = self.path.join(".");
        ensure!(
            !self.path.is_empty(),
            "`path` is empty: write its segments, such as `[source, address]`"
        );
        for segment in &self.path {
            ensure!(
                !segment.is_empty() && !segment.contains('\0'),
                "`{shown}` has a segment that is empty or has a zero byte"
            );
        }
        Ok(())
    }
}

// === impl PropertyValue ===

impl PropertyValue {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Boolean(value) => vec![u8::from(*value)],
            Self::Integer(value) => value.to_le_bytes().to_vec(),
            Self::Number(value) => value.to_le_bytes().to_vec(),
            Self::Text(text) => text.0.clone(),
        }
    }
}
