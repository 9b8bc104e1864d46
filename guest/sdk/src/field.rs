//! [`FieldName`] and [`FieldValue`]: validated header names and values.
//!
//! With these types in its configuration, a plugin rejects an invalid name or value at deployment, and the error
//! contains its path. Otherwise the error would appear only in the log, at the first request.

use std::{fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// A lowercase header name, or one of the pseudo-headers `:method`, `:path`, `:authority`, `:scheme` and `:status`.
///
/// ```
/// use tidegate_guest::FieldName;
///
/// assert_eq!(FieldName::new("X-Request-Id").as_deref(), Some("x-request-id"));
/// assert_eq!(FieldName::new("not a name"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldName(String);

/// A header value: text without control characters other than tab.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldValue(String);

// === impl FieldName ===

impl FieldName {
    /// Creates a name from a string in any case. Returns `None` if it is invalid.
    pub fn new(name: &str) -> Option<Self> {
        let pseudo = matches!(
            name,
            ":method" | ":path" | ":authority" | ":scheme" | ":status"
        );
        let token = !name.is_empty() && name.bytes().all(is_token);
        (pseudo || token).then(|| FieldName(name.to_ascii_lowercase()))
    }

    /// Returns whether the name is a pseudo-header.
    pub fn is_pseudo(&self) -> bool {
        self.0.starts_with(':')
    }
}

/// Returns whether HTTP allows a byte in a field name.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Deref for FieldName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> String {
        name.0
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Checked {
            check: FieldName::new,
            expected: "a header name",
        })
    }
}

// === impl FieldValue ===

impl FieldValue {
    /// Creates a value. Returns `None` if it is invalid.
    pub fn new(value: &str) -> Option<Self> {
        let good = value
            .bytes()
            .all(|byte| (byte >= b' ' && byte != 0x7f) || byte == b'\t');
        good.then(|| FieldValue(value.to_owned()))
    }
}

impl Deref for FieldValue {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for FieldValue {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<FieldValue> for Vec<u8> {
    fn from(value: FieldValue) -> Vec<u8> {
        value.0.into_bytes()
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Checked {
            check: FieldValue::new,
            expected: "a header value, which has no control characters",
        })
    }
}

/// A visitor for text that must pass a check.
struct Checked<T> {
    check: fn(&str) -> Option<T>,
    expected: &'static str,
}

impl<T> Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.check)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_or_pseudo_headers() {
        for good in ["a", "X-Y_z.1", "!#$%&'*+-.^_`|~", ":path", ":status"] {
            assert_eq!(
                FieldName::new(good).as_deref(),
                Some(good.to_ascii_lowercase().as_str())
            );
        }
        for bad in ["", "a b", "a:b", ":other", ":Path", "é", "a\n", "(a)"] {
            assert_eq!(FieldName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_have_no_control_characters() {
        for good in ["", "a b", "a\tb", "é"] {
            assert_eq!(FieldValue::new(good).as_deref(), Some(good));
        }
        for bad in ["a\nb", "\r", "\0", "\x7f"] {
            assert_eq!(FieldValue::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn invalid_fields_are_rejected_in_a_configuration() {
        let error = crate::config::read_config::<Vec<FieldName>>(br#"["ok", "not ok"]"#)
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            r#"[1]: expected a header name, got "not ok""#
        );
        let error =
            crate::config::read_config::<Vec<FieldValue>>(br#"["\u0001"]"#).expect_err("refused");
        assert!(
            error
                .to_string()
                .starts_with("[0]: expected a header value"),
            "{error}"
        );
    }
}
