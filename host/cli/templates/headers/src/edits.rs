//! What an operator may configure.

use serde::Deserialize;
use tidegate_guest::prelude::*;

/// What is done to the headers of a response. Unknown fields are rejected with an error that names them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// Headers that it has afterwards, each with this one value.
    pub set: Vec<Header>,
    /// Headers that it has no more.
    pub remove: Vec<FieldName>,
}

/// A header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: FieldName,
    /// Its value.
    pub value: FieldValue,
}

impl Edits {
    /// Rejects what the types cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut names = Vec::new();
        for (at, header) in self.set.iter().enumerate() {
            names.push((&header.name, format!("set[{at}].name")));
        }
        for (at, name) in self.remove.iter().enumerate() {
            names.push((name, format!("remove[{at}]")));
        }
        for (name, place) in names {
            if name.is_pseudo() {
                return Err(ConfigError::at(place, "expected a header that clients see"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_header_is_rejected() {
        let name = |text| FieldName::new(text).expect("a name");
        let edits = |text| Edits {
            set: Vec::new(),
            remove: vec![name(text)],
        };
        assert!(edits("x-powered-by").check().is_ok());
        assert!(edits(":status").check().is_err());
    }
}
