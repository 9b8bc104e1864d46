//! Parses a plugin's configuration from JSON into the author's serde type. Errors contain the path of the invalid
//! value.
//!
//! The parser is `hifijson`: in a module it has a fifth of the size of serde_json, and it is complete where it matters
//! (escapes, surrogates, UTF-8, depth). [`deserializer`] implements serde's deserializer for its values and tracks the
//! path from the root to each of them; [`error`] formats the error messages.

mod deserializer;
mod error;

use hifijson::{SliceLexer, token::Lex, value};
use serde::de::DeserializeOwned;

pub use error::ConfigError;

/// The maximum nesting depth of a configuration. Wasm stacks are small, and nobody writes deeper nesting by hand.
const MAX_DEPTH: usize = 64;

/// Parses a configuration in the same way as for [`Plugin::configure`](crate::Plugin::configure). Empty input is
/// treated as `{}`.
///
/// This function does not need a proxy. It is intended for a plugin's tests.
pub fn read_config<T: DeserializeOwned>(configuration: &[u8]) -> Result<T, ConfigError> {
    if configuration.trim_ascii().is_empty() {
        return parsed(b"{}").map_err(|error| {
            ConfigError::new(format!(
                "no configuration was given, and an empty one does not do: {error}"
            ))
        });
    }
    parsed(configuration)
}

/// Returns whether a configuration is empty or an empty object.
pub(crate) fn is_none(configuration: &[u8]) -> bool {
    // One loop, since it is in every plugin that takes no configuration.
    let mut braces = 0;
    for byte in configuration {
        braces = match (braces, byte) {
            (_, byte) if byte.is_ascii_whitespace() => continue,
            (0, b'{') => 1,
            (1, b'}') => 2,
            _ => return false,
        };
    }
    braces != 1
}

fn parsed<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    let mut lexer = SliceLexer::new(json);
    let value = lexer.exactly_one(Lex::ws_peek, |next, lexer| {
        value::parse_bounded(MAX_DEPTH, next, lexer)
    });
    match value {
        Ok(value) => T::deserialize(deserializer::Json(value)),
        Err(error) => {
            let read = json.len().saturating_sub(lexer.as_slice().len());
            let (line, column) = position(json.get(..read).unwrap_or(json));
            Err(ConfigError::new(format!(
                "not JSON: {error} at line {line}, column {column}"
            )))
        }
    }
}

/// Returns the 1-based line and column of the position after `read`.
fn position(read: &[u8]) -> (usize, usize) {
    let line = read.split(|byte| *byte == b'\n');
    let (lines, last) = line.fold((0, 0), |(lines, _), line| (lines + 1, line.len()));
    (lines, last + 1)
}

#[cfg(test)]
mod tests;
