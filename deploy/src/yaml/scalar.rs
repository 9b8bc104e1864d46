//! Resolves scalars by the rules of version 2 of Go's YAML library, which `kubectl` and the API server's tools share.
//!
//! The rules are those of YAML 1.1 with exceptions: there are no sexagesimal numbers, octal numbers are written as `010` or
//! `0o10`, and an integer that exceeds 64 bits is a float or, if it exceeds the range of a float, a string. The value is
//! then serialized as JSON and parsed again, which converts floats without a fraction to integers.
//! `tests/tables/scalars.tsv` contains results of the real library.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::{Value, excerpt, timestamp};

/// The namespace of YAML's tags.
pub const TAGS: &str = "tag:yaml.org,2002:";

/// Like Go's decoder: unused trailing bits of the last digit are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A scalar as it was written.
#[derive(Debug)]
pub struct Scalar {
    /// The text without quotes and escapes.
    pub text: Arc<str>,
    /// Whether the scalar may resolve to a type other than string without an explicit tag: it is not quoted, or has the tag
    /// `!`.
    pub is_implicit: bool,
    /// The complete tag, if any.
    pub tag: Option<String>,
}

/// A resolved scalar, before it is converted to JSON.
#[derive(Debug)]
pub enum Resolved {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// The text itself.
    Text,
    /// The result of decoding the text according to its tag.
    Decoded(String),
}

// === impl Scalar ===

impl Scalar {
    /// Returns whether this key is a merge key.
    pub fn merges(&self) -> bool {
        let is_tagged = |tag: &String| tag.strip_prefix(TAGS) == Some("merge");
        *self.text == *"<<" && (self.is_implicit || self.tag.as_ref().is_some_and(is_tagged))
    }

    /// Resolves the scalar. Returns an error if it is not valid YAML.
    pub fn resolve(&self) -> Result<Resolved, String> {
        resolve(self)
    }
}

// === impl Resolved ===

impl Resolved {
    /// Returns the value that the API server receives for a scalar with this text, or an error.
    pub fn value(&self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Signed(value) => Value::Integer(*value),
            Self::Unsigned(value) => Value::Float(*value as f64),
            Self::Float(value) if value.is_finite() => number(*value),
            Self::Float(_) => {
                return Err(format!(
                    "`{}` cannot be represented in JSON: quote it if it is a string",
                    excerpt(text)
                ));
            }
            Self::Text => Value::String(text.to_owned()),
            Self::Decoded(text) => Value::String(text.clone()),
        })
    }

    /// Returns the name that the API server receives for a key with this text, or an error.
    pub fn name(&self, text: &str) -> Result<String, String> {
        Ok(match self {
            Self::Bool(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Float(value) if value.is_nan() => ".nan".into(),
            Self::Float(value) if *value == f64::INFINITY => ".inf".into(),
            Self::Float(value) if *value == f64::NEG_INFINITY => "-.inf".into(),
            Self::Float(value) => short(*value),
            Self::Text => text.to_owned(),
            Self::Decoded(text) => text.clone(),
            Self::Null => return Err("null cannot be used as a key: quote it".into()),
            Self::Unsigned(_) => {
                return Err(format!(
                    "the number `{}` is too large to be used as a key: quote it",
                    excerpt(text)
                ));
            }
        })
    }
}

fn resolve(scalar: &Scalar) -> Result<Resolved, String> {
    let text = &*scalar.text;
    let Some(tag) = &scalar.tag else {
        return Ok(if scalar.is_implicit {
            implicit(text)
        } else {
            Resolved::Text
        });
    };
    let resolved = match tag.strip_prefix(TAGS) {
        Some(kind @ ("bool" | "int" | "float" | "null")) => {
            let resolved = implicit(text);
            let fits = match &resolved {
                Resolved::Null => kind == "null",
                Resolved::Bool(_) => kind == "bool",
                Resolved::Signed(_) => kind == "int" || kind == "float",
                Resolved::Unsigned(_) => kind == "int",
                Resolved::Float(_) => kind == "float",
                Resolved::Text | Resolved::Decoded(_) => false,
            };
            if !fits {
                return Err(format!(
                    "cannot decode `{}` as {kind}, as its tag requires",
                    excerpt(text)
                ));
            }
            resolved
        }
        Some("binary") => {
            let lines: String = text
                .chars()
                .filter(|char| !"\r\n".contains(*char))
                .collect();
            let bytes = BASE64.decode(lines).map_err(|_| {
                format!(
                    "cannot decode `{}` as base64, as its tag requires",
                    excerpt(text)
                )
            })?;
            Resolved::Decoded(lossy(&bytes))
        }
        // The value remains a string, but must be a valid timestamp.
        Some("timestamp") if !timestamp::is_one(text) => {
            return Err(format!(
                "cannot decode `{}` as a timestamp, as its tag requires",
                excerpt(text)
            ));
        }
        // Scalars with unknown tags are strings.
        _ => Resolved::Text,
    };
    Ok(resolved)
}

/// Converts bytes to text. Unlike in Rust's own conversion, each invalid byte is replaced with a separate character.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Resolves a scalar without quotes and tag.
fn implicit(text: &str) -> Resolved {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let first = text.bytes().next().unwrap_or_default();
    let resolved = match first {
        // Only here does Go's own rule for underscores apply: they must be between digits.
        b'.' => underscored(text).and_then(|plain| float(&plain)),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    };
    resolved.unwrap_or(Resolved::Text)
}

fn integer(text: &str) -> Option<Resolved> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' | b'-' => text.split_at(1),
        _ => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // The parser would accept a second sign.
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    let signed = i128::from_str_radix(digits, radix).ok()?;
    let signed = if sign == "-" { -signed } else { signed };
    match i64::try_from(signed) {
        Ok(value) => Some(Resolved::Signed(value)),
        Err(_) if sign.is_empty() => u64::try_from(signed).ok().map(Resolved::Unsigned),
        Err(_) => None,
    }
}

fn float(text: &str) -> Option<Resolved> {
    // The words that Rust accepts for infinity and similar values are not numbers here.
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = text.parse().ok().filter(|_| digits)?;
    value.is_finite().then_some(Resolved::Float(value))
}

/// Returns the text without underscores, if each of them is between digits.
fn underscored(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let fits = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'_' || (digit(at.checked_sub(1)) && digit(Some(at + 1))));
    fits.then(|| text.replace('_', ""))
}

/// Converts a float to its JSON value. Go writes a float without a fraction as an integer, which is then parsed as an
/// integer.
fn number(value: f64) -> Value {
    // For larger values Go writes an exponent. For smaller values both languages write the fewest digits that represent the
    // number, followed by zeros.
    if value.fract() == 0.0
        && value.abs() < 1e21
        && let Ok(integer) = value.to_string().parse()
    {
        return Value::Integer(integer);
    }
    Value::Float(value)
}

/// Formats a float as the name of a field: in single precision and with the fewest digits.
fn short(value: f64) -> String {
    let value = value as f32;
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use crate::yaml::{self, Value};

    /// The results of the real library for a scalar as a value and as a key; `!` means an error. `tests/istio` compares
    /// them.
    const VERDICTS: &str = include_str!("../../tests/tables/scalars.tsv");

    #[test]
    fn scalars_resolve_as_in_go() {
        // Allows a longer table than the one in the repository to be tested.
        let longer = std::env::var_os("TIDEGATE_SCALAR_VERDICTS")
            .map(|path| std::fs::read_to_string(path).expect("failed to read the table"));
        let table = longer.as_deref().unwrap_or(VERDICTS);
        let mut wrong = Vec::new();
        for line in table.lines() {
            let [written, value, key] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("no row of three: {line}");
            };
            let ours = yaml::parse(&format!("v: {written}\n"))
                .map(|documents| {
                    documents[0]
                        .root
                        .get("v")
                        .expect("valid value")
                        .value
                        .clone()
                })
                .ok();
            if ours != value_of(value) {
                wrong.push(format!("value {written}: Go has {value}, we {ours:?}"));
            }
            let ours = yaml::parse(&format!("{written}: v\n")).ok();
            let ours = ours.map(|documents| {
                let mapping = documents[0].root.mapping().expect("a mapping");
                mapping.entries[0].key.name.clone()
            });
            if ours != (key != "!").then(|| key.to_owned()) {
                wrong.push(format!("key {written}: Go has {key}, we {ours:?}"));
            }
        }
        assert!(table.lines().count() > 100);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Parses JSON like the API server, which prefers integers wherever possible.
    fn value_of(json: &str) -> Option<Value> {
        if json == "!" {
            return None;
        }
        if let Ok(integer) = json.parse() {
            return Some(Value::Integer(integer));
        }
        Some(match serde_json::from_str(json).expect("valid JSON") {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::String(value) => Value::String(value),
            serde_json::Value::Number(value) => Value::Float(value.as_f64().expect("a number")),
            other => panic!("no scalar: {other}"),
        })
    }
}
