//! Digests, which identify the content in a registry.
//!
//! Only SHA-256 is supported. Istio's `sha256` field cannot hold any other digest, and its agent does not resolve any
//! other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. It is displayed as `sha256:` followed by 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    hex: String,
}

/// An error returned when a digest cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid digest: expected `sha256:` and 64 lowercase hexadecimal digits")]
pub struct DigestError(String);

const PREFIX: &str = "sha256:";

// === impl Digest ===

impl Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self {
            hex: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Parses a digest without a prefix, as in Istio's `sha256` field.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() == 64 && hex.as_bytes().iter().all(is_digit) {
            Ok(Self {
                hex: hex.to_owned(),
            })
        } else {
            Err(DigestError(hex.to_owned()))
        }
    }

    /// Returns the hexadecimal digits without a prefix, as in Istio's `sha256` field.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.to_owned());
        let hex = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        Self::from_hex(hex).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
