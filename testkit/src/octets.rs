//! Bytes in text form, with one character for each byte.
//!
//! Header values and bodies are bytes and not always valid UTF-8, and a scenario must be able to express them. A
//! character from U+0000 to U+00FF therefore represents the byte with that value (`"\xff"` in a double-quoted YAML
//! string is the byte 0xFF), and no other characters are allowed. Non-ASCII text is written as its UTF-8 bytes:
//! `"\xc3\xa9"` for é.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A byte string that is parsed from and formatted as text with one character for each byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Octets(pub Vec<u8>);

/// The error for a character that does not represent a byte.
#[derive(Debug)]
pub struct NotAByte(char);

// === impl Octets ===

impl Octets {
    /// Parses text.
    pub fn parse(text: &str) -> Result<Self, NotAByte> {
        let byte =
            |character: char| u8::try_from(u32::from(character)).map_err(|_| NotAByte(character));
        text.chars().map(byte).collect::<Result<_, _>>().map(Self)
    }
}

impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

// === impl NotAByte ===

impl fmt::Display for NotAByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` (U+{:04X}) does not represent a byte; write its UTF-8 bytes as \\xNN",
            self.0,
            u32::from(self.0)
        )
    }
}

impl std::error::Error for NotAByte {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_up_to_u00ff_parse_as_bytes() {
        assert_eq!(
            Octets::parse("a\u{ff}\u{0}").expect("bytes").0,
            b"a\xff\x00"
        );
        let error = Octets::parse("5 €").expect_err("not a byte");
        assert_eq!(
            error.to_string(),
            "`€` (U+20AC) does not represent a byte; write its UTF-8 bytes as \\xNN"
        );
    }
}
