//! [`ConfigError`] and the messages for serde's errors.

use std::fmt::{self, Display, Write};

use serde::de::{self, Expected, Unexpected};

/// The error for a rejected configuration.
///
/// The message is meant for the operator. It contains the path of the invalid value and what was expected there:
/// `rules[2].limit: expected u32, got "ten"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    reason: String,
}

impl ConfigError {
    /// Creates an error that applies to the configuration as a whole.
    pub fn new(reason: impl Into<String>) -> Self {
        ConfigError {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// Creates an error for the value at a path such as `rules[2].limit`.
    pub fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        ConfigError {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// Returns the path in the configuration. It is empty if the error applies to the configuration as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the reason for the error.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Prefixes the path with the object key `key`.
    ///
    /// Keys are arbitrary strings, so the key is quoted if it could be misread as something else.
    pub(crate) fn under(self, key: &str) -> Self {
        if is_plain(key) {
            self.after(key)
        } else {
            self.after(&Quoted(key).to_string())
        }
    }

    /// Prefixes the path with an array index.
    pub(crate) fn in_element(self, index: usize) -> Self {
        self.after(&format!("[{index}]"))
    }

    /// Prefixes the path with a segment.
    fn after(mut self, step: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, step);
        self
    }

    /// Creates an error from the expected and the actual value.
    pub(super) fn mismatch(expected: impl Display, got: impl Display) -> Self {
        ConfigError::new(format!("expected {expected}, got {got}"))
    }

    /// Formats path and reason without `Display`, which would otherwise be linked into plugins that do not use it.
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

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str(&self.path)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {}

impl de::Error for ConfigError {
    fn custom<T: Display>(message: T) -> Self {
        ConfigError::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ConfigError::mismatch(expected, InJsonWords(unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ConfigError::mismatch(expected, InJsonWords(unexpected))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        ConfigError::new(format!("expected {expected}, got {length} elements"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        ConfigError::mismatch(OneOf(expected), InJsonWords(Unexpected::Str(variant)))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        // The path names it.
        ConfigError::new(if expected.is_empty() {
            "unknown field, there are none here".to_owned()
        } else {
            format!("unknown field, expected {}", OneOf(expected))
        })
    }

    fn missing_field(field: &'static str) -> Self {
        ConfigError::at(field, "missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        ConfigError::at(field, "given twice")
    }
}

/// The actual value, in JSON notation. Fractional numbers are not printed: this would take as much code as everything
/// else.
struct InJsonWords<'a>(Unexpected<'a>);

impl Display for InJsonWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => f.write_str(if value { "true" } else { "false" }),
            Unexpected::Unsigned(value) => value.fmt(f),
            Unexpected::Signed(value) => value.fmt(f),
            Unexpected::Float(_) => f.write_str("a fraction"),
            Unexpected::Char(value) => Quoted(value.encode_utf8(&mut [0; 4])).fmt(f),
            Unexpected::Str(value) => Quoted(value).fmt(f),
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Seq | Unexpected::Bytes(_) => f.write_str("an array"),
            Unexpected::Map | Unexpected::NewtypeStruct => f.write_str("an object"),
            Unexpected::Enum | Unexpected::UnitVariant => f.write_str("a name alone"),
            Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => {
                f.write_str("a name with a value")
            }
            Unexpected::Other(other) => f.write_str(other),
        }
    }
}

/// The maximum length of configuration text that is quoted in a message: about one line.
const LONGEST: usize = 60;

/// Returns whether a key can appear in a path without quotes.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= LONGEST
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Text from the configuration, shortened to a single line.
pub(super) struct Shortened<'a>(pub &'a str);

impl Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(LONGEST) {
            f.write_char(if character.is_control() {
                ' '
            } else {
                character
            })?;
        }
        match characters.next() {
            Some(_) => f.write_char('…'),
            None => Ok(()),
        }
    }
}

/// The same, in quotes.
pub(super) struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        Shortened(self.0).fmt(f)?;
        f.write_char('"')
    }
}

/// A list of names to choose from.
struct OneOf(&'static [&'static str]);

impl Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(if index + 1 == self.0.len() {
                    " or "
                } else {
                    ", "
                })?;
            }
            f.write_char('`')?;
            f.write_str(name)?;
            f.write_char('`')?;
        }
        Ok(())
    }
}
