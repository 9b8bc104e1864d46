//! Edits of a set of fields: what they are, what they may not be, and their order.

use serde::Deserialize;
use tidegate_guest::{ConfigError, FieldName, FieldValue};

/// Edits of the headers of a request or a response, done in the order in which they stand here.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// Headers that are removed, with all their values.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub remove: Vec<FieldName>,
    /// Headers that have this value afterwards, and no other.
    pub set: Vec<Header>,
    /// Headers that get this value beside those that they have.
    pub append: Vec<Header>,
    /// Headers that get this value if they have none.
    pub add: Vec<Header>,
}

/// A header.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name. A request's `:method`, `:path`, `:authority` (which is also called `host`) and `:scheme`, and a response's
    /// `:status`, can be set, and nothing else.
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: FieldName,
    /// Its value.
    #[cfg_attr(test, schemars(with = "String"))]
    pub value: FieldValue,
}

/// One direction of a stream: its headers and the names that only they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What downstream sent.
    Request,
    /// What upstream answered.
    Response,
}

/// What has fields that can be edited.
pub trait Target {
    /// Whether there is a field of this name.
    fn has(&self, name: &FieldName) -> bool;
    /// Replaces all values by one.
    fn set(&self, name: &FieldName, value: &FieldValue);
    /// Adds a value.
    fn append(&self, name: &FieldName, value: &FieldValue);
    /// Removes all values.
    fn remove(&self, name: &FieldName);
}

impl Edits {
    /// Does them.
    pub fn apply(&self, target: &impl Target) {
        for name in &self.remove {
            target.remove(name);
        }
        for header in &self.set {
            target.set(&header.name, &header.value);
        }
        for header in &self.append {
            target.append(&header.name, &header.value);
        }
        for header in &self.add {
            if !target.has(&header.name) {
                target.append(&header.name, &header.value);
            }
        }
    }

    /// Rejects what would leave a message without what it needs, and what would have no effect: a message has each of its
    /// half's own pseudo-headers exactly once, and none of the other half's.
    pub fn check(&self, half: Half) -> Result<(), ConfigError> {
        for (index, header) in self.set.iter().enumerate() {
            if header.name.is_pseudo() && !half.owns(&header.name) {
                let reason = format!(
                    "a {} has no `{}`, it has {}",
                    half.name(),
                    &*header.name,
                    half.pseudo_headers()
                );
                return Err(half.refuse("set", index, ".name", reason));
            }
        }
        let removed = self.remove.iter().map(|name| ("remove", "", name));
        let appended = self
            .append
            .iter()
            .map(|header| ("append", ".name", &header.name));
        let added = self.add.iter().map(|header| ("add", ".name", &header.name));
        let lists: [&mut dyn Iterator<Item = _>; 3] = [
            &mut removed.enumerate(),
            &mut appended.enumerate(),
            &mut added.enumerate(),
        ];
        for list in lists {
            for (index, (edit, field, name)) in list {
                if name.is_pseudo() || half.owns(name) {
                    let reason = format!("`{}` can be set, and nothing else", &**name);
                    return Err(half.refuse(edit, index, field, reason));
                }
            }
        }
        Ok(())
    }
}

impl Half {
    /// What it is called in a configuration.
    fn name(self) -> &'static str {
        match self {
            Half::Request => "request",
            Half::Response => "response",
        }
    }

    /// Whether a name stands for one of its pseudo-headers. Proxies take a request's `host` for its `:authority`.
    fn owns(self, name: &str) -> bool {
        match self {
            Half::Request => matches!(
                name,
                ":method" | ":path" | ":authority" | ":scheme" | "host"
            ),
            Half::Response => name == ":status",
        }
    }

    fn pseudo_headers(self) -> &'static str {
        match self {
            Half::Request => "`:method`, `:path`, `:authority` and `:scheme`",
            Half::Response => "`:status`",
        }
    }

    fn refuse(self, edit: &str, index: usize, field: &str, reason: String) -> ConfigError {
        ConfigError::at(format!("{}.{edit}[{index}]{field}", self.name()), reason)
    }
}
