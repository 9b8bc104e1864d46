//! Reading a plugin's configuration: JSON into the author's serde type, or a reason that names the place.
//!
//! The parser is `hifijson`: a fifth of serde_json in a module, and complete where it matters (escapes, surrogates,
//! UTF-8, depth). What serde asks of its values is answered in [`deserializer`], which also knows the way from the root
//! to each of them; [`error`] puts into words what did not fit.

mod deserializer;
mod error;

use hifijson::{SliceLexer, token::Lex, value};
use serde::de::DeserializeOwned;

pub use error::ConfigError;

/// How deep a configuration may be nested. Wasm stacks are small, and nobody writes such a thing by hand.
const MAX_DEPTH: usize = 64;

/// Reads a configuration as it is read for [`Plugin::configure`](crate::Plugin::configure). None at all counts as `{}`.
///
/// It needs no proxy: it is there for a plugin's own tests.
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

/// Whether a configuration says nothing: it is empty, or an empty object.
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

/// Line and column, counted from 1, of what follows `read`.
fn position(read: &[u8]) -> (usize, usize) {
    let line = read.split(|byte| *byte == b'\n');
    let (lines, last) = line.fold((0, 0), |(lines, _), line| (lines + 1, line.len()));
    (lines, last + 1)
}

#[cfg(test)]
mod tests;
