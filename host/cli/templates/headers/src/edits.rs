//! What an operator may configure.

use serde::Deserialize;
use tidegate_guest::prelude::*;

/// The changes to the headers of a response. Unknown fields are rejected with an error that names them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// Headers to set. Other values of these headers are removed.
    pub set: Vec<Header>,
    /// Headers to remove.
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
    /// Rejects configurations that the types accept, but that cannot work.
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
                return Err(ConfigError::at(place, "a pseudo-header cannot be changed"));
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
