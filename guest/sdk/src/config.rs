//! Reading a plugin's configuration: JSON into the author's serde type, or a reason that names the place.
//!
//! `rules[2].limit: expected u32, got "ten"` is what an operator needs; where in a line the parser stood is not, so the
//! words of serde and serde_json are turned round and their position is left out, unless the text is not JSON at all.

use std::fmt;

use serde::de::DeserializeOwned;

/// Why a configuration was refused.
///
/// It is for the operator, and names the place in the configuration and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    reason: String,
}

/// Reads a configuration. None at all counts as `{}`.
pub(crate) fn from_json<T: DeserializeOwned>(configuration: &[u8]) -> Result<T, ConfigError> {
    let given = !configuration.trim_ascii().is_empty();
    let mut json = serde_json::Deserializer::from_slice(if given { configuration } else { b"{}" });
    let error = match serde_path_to_error::deserialize(&mut json) {
        Ok(config) => match json.end() {
            Ok(()) => return Ok(config),
            Err(error) => ConfigError::new(error.to_string()),
        },
        Err(error) => {
            let path = error.path().to_string();
            let syntax = !error.inner().is_data();
            let words = error.into_inner().to_string();
            let reason = if syntax {
                format!("not JSON: {words}")
            } else {
                turned_round(&words)
            };
            ConfigError::at(if path == "." || syntax { "" } else { &path }, reason)
        }
    };
    if given {
        Err(error)
    } else {
        Err(ConfigError::new(format!(
            "no configuration was given: {error}"
        )))
    }
}

/// Accepts the configuration of a plugin that takes none: nothing, or an empty object.
pub(crate) fn refuse_any(configuration: &[u8]) -> Result<(), ConfigError> {
    let empty_object = configuration
        .trim_ascii()
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .is_some_and(|inside| inside.trim_ascii().is_empty());
    if empty_object || configuration.trim_ascii().is_empty() {
        Ok(())
    } else {
        Err(ConfigError::new("this plugin takes no configuration"))
    }
}

/// Makes `expected a number, got "ten"` of `invalid type: string "ten", expected a number at line 1 column 9`.
fn turned_round(words: &str) -> String {
    let words = words
        .rsplit_once(" at line ")
        .map_or(words, |(words, _)| words);
    let mismatch = words
        .strip_prefix("invalid type: ")
        .or_else(|| words.strip_prefix("invalid value: "));
    match mismatch.and_then(|mismatch| mismatch.rsplit_once(", expected ")) {
        Some((got, expected)) => format!("expected {expected}, got {}", in_json_words(got)),
        None => words.to_owned(),
    }
}

/// serde's names of what it met, in the words of JSON.
fn in_json_words(got: &str) -> &str {
    match got {
        "map" => "an object",
        "sequence" => "an array",
        "unit value" => "null",
        _ => {
            let value = ["string ", "integer ", "floating point ", "boolean "]
                .iter()
                .find_map(|kind| got.strip_prefix(kind));
            value.unwrap_or(got).trim_matches('`')
        }
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// A reason that concerns the configuration as a whole.
    pub fn new(reason: impl Into<String>) -> Self {
        ConfigError {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// A reason and its place, as in `rules[2].limit`.
    pub fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        ConfigError {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// The place in the configuration; empty for the whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Path and reason, put together without the machinery of `Display`, which not every plugin has otherwise.
    pub(crate) fn into_string(self) -> String {
        if self.path.is_empty() {
            return self.reason;
        }
        let mut text = self.path;
        text.push_str(": ");
        text.push_str(&self.reason);
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str(&self.path)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {}
