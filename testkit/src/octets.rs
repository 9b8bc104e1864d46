//! Bytes written as text: each character is one byte.
//!
//! Header values and bodies are bytes, not always UTF-8, and a scenario has to state them. So a character from U+0000 to U+00FF
//! stands for the byte of that number (`"\xff"` in YAML's double quotes is the byte 0xFF), and no other character may
//! appear. Text beyond ASCII is written as its UTF-8 bytes: `"\xc3\xa9"` for é.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Bytes that are read from, and shown as, text with one character for each byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Octets(pub Vec<u8>);

/// A character that stands for no byte.
#[derive(Debug)]
pub struct NotAByte(char);

// === impl Octets ===

impl Octets {
    /// Reads text.
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
            "`{}` (U+{:04X}) stands for no byte; write its UTF-8 bytes as \\xNN",
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
    fn each_character_is_a_byte() {
        assert_eq!(
            Octets::parse("a\u{ff}\u{0}").expect("bytes").0,
            b"a\xff\x00"
        );
        let error = Octets::parse("5 €").expect_err("not a byte");
        assert_eq!(
            error.to_string(),
            "`€` (U+20AC) stands for no byte; write its UTF-8 bytes as \\xNN"
        );
    }
}
