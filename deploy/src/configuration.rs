//! Plugin configurations: how each deployment method transforms them, and whether the plugin accepts the result.
//!
//! Envoy's own configuration transmits any text unchanged. Kubernetes and Istio do not. Changes that would otherwise be
//! made silently are rejected or reported here. The plugin's JSON Schema is validated against the transformed
//! configuration.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A configuration as specified by the user: arbitrary bytes, which may be JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration(Vec<u8>);

/// How a configuration is transmitted to the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As bytes, which are transmitted unchanged. Used by Envoy's own configuration, including that in an `EnvoyFilter`.
    Bytes,
    /// As the `pluginConfig` field of Istio's kinds, a `google.protobuf.Struct`: an object in which all numbers are
    /// doubles.
    Istio,
    /// As the `config` field of Envoy Gateway's kind, in which numbers are 64-bit integers or doubles.
    Gateway,
}

/// The configuration as the plugin receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The configuration as JSON. `None` if it is empty or is not JSON.
    pub value: Option<Value>,
    /// The JSON pointers of the null fields that are dropped in transit. Most plugins are not affected by this.
    pub nulls: Vec<Pointer>,
}

/// A location in a JSON document, as a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(String);

/// Something in a configuration that the plugin rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The location of the problem.
    pub at: Pointer,
    /// A description of the problem.
    pub reason: String,
}

/// An error returned when a configuration cannot be deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The configuration is not JSON.
    #[error("the configuration is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The configuration is not an object. Istio accepts only objects.
    #[error(
        "the configuration is not a JSON object, which Istio's `pluginConfig` requires: put it into a field"
    )]
    NotObject,
    /// A number cannot be represented exactly as a double.
    #[error(
        "the number {number} at {at} has more digits than Istio preserves: the plugin would read {arrives}; use a string, or `tidegate manifest envoy-filter`, which passes the configuration unchanged"
    )]
    Digits {
        /// The location of the first such number.
        at: Pointer,
        /// The number as specified.
        number: String,
        /// The number as the plugin would read it.
        arrives: String,
    },
    /// The plugin's schema is not a valid JSON Schema, or refers to an external document.
    #[error("the plugin's configuration schema is invalid: {0}")]
    Schema(String),
    /// The plugin rejects the configuration.
    #[error("the plugin {} configuration: {}", if *.given { "rejects this" } else { "requires a" }, listed(.problems))]
    Refused {
        /// Whether the plugin receives a configuration.
        given: bool,
        /// The reasons for the rejection. Never empty.
        problems: Vec<Problem>,
    },
}

/// The maximum number of problems in one message.
const MOST_PROBLEMS: usize = 8;

/// The maximum length of a reason, in characters. Some reasons contain the complete value.
const MOST_CHARS: usize = 300;

// === impl Configuration ===

impl Configuration {
    /// Creates a configuration from bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes as specified.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parses the configuration as JSON. Returns an error with the position if it is not JSON.
    pub fn json(&self) -> Result<Value, ConfigurationError> {
        serde_json::from_slice(&self.0).map_err(ConfigurationError::NotJson)
    }

    /// Returns the configuration as the plugin receives it when it is transmitted in the given way, or an error if it must
    /// not be transmitted in that way.
    pub fn arrival(&self, way: Way) -> Result<Arrival, ConfigurationError> {
        let given = match (self.json(), way) {
            (json, Way::Bytes) => {
                return Ok(Arrival {
                    value: json.ok(),
                    nulls: Vec::new(),
                });
            }
            (json, Way::Istio | Way::Gateway) => json?,
        };
        if way == Way::Istio && !given.is_object() {
            return Err(ConfigurationError::NotObject);
        }
        let raw: &RawValue =
            serde_json::from_slice(&self.0).map_err(ConfigurationError::NotJson)?;
        check_digits(raw, way, &Pointer::root())?;
        let mut nulls = Vec::new();
        let value = normalised(&given, &Pointer::root(), &mut nulls);
        // Istio encodes both an empty object and an absent configuration as zero bytes.
        let is_none =
            value.is_null() || way == Way::Istio && value.as_object().is_some_and(Map::is_empty);
        Ok(Arrival {
            value: (!is_none).then_some(value),
            nulls,
        })
    }
}

/// Validates the configuration that the plugin receives against the plugin's schema. Plugins that receive no configuration
/// read `{}`.
pub fn check(arrives: Option<&Value>, schema: &Value) -> Result<(), ConfigurationError> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| ConfigurationError::Schema(error.to_string()))?;
    let empty = Value::Object(Map::new());
    let problems: Vec<Problem> = validator
        .iter_errors(arrives.unwrap_or(&empty))
        .map(|error| Problem {
            at: Pointer(error.instance_path().as_str().to_owned()),
            reason: shortened(error.to_string()),
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(ConfigurationError::Refused {
        given: arrives.is_some(),
        problems,
    })
}

/// Returns an error for the first number that would lose digits.
///
/// The values have already been parsed once, so the nesting depth is limited by serde_json.
fn check_digits(raw: &RawValue, way: Way, at: &Pointer) -> Result<(), ConfigurationError> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).map_err(ConfigurationError::NotJson)?;
            fields
                .iter()
                .try_for_each(|(name, value)| check_digits(value, way, &at.field(name)))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).map_err(ConfigurationError::NotJson)?;
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| check_digits(value, way, &at.field(index)))
        }
        Some(b'-' | b'0'..=b'9') => {
            let is_integer = way == Way::Gateway && text.parse::<i64>().is_ok();
            match changed_as_double(text) {
                Some(arrives) if !is_integer => Err(ConfigurationError::Digits {
                    at: at.clone(),
                    number: text.to_owned(),
                    arrives,
                }),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Returns the number after conversion to a double, if that is a different number.
fn changed_as_double(text: &str) -> Option<String> {
    let double: f64 = text.parse().ok()?;
    // The shortest digits that represent this double, as JSON serializers write them.
    let arrives = format!("{double:e}");
    let (given, kept) = (decimal(text), decimal(&arrives));
    // A fraction may have two equally short representations, and serializers differ in which one they choose.
    let digits = |decimal: &Option<(bool, String, i64)>| decimal.as_ref().map(|it| it.1.len());
    let is_other = double.fract() == 0.0 || digits(&given) > digits(&kept);
    (given != kept && is_other).then(|| format!("{double}"))
}

/// Splits a decimal number into its sign, its digits without leading and trailing zeros, and the exponent of the last
/// digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = exponent.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let dropped = digits.len() - kept.len();
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some((negative, String::new(), 0));
    }
    let shift = i64::try_from(dropped)
        .ok()?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some((negative, kept.to_owned(), exponent.checked_add(shift)?))
}

/// Returns the value as the plugin receives it. Null fields are removed, because Kubernetes and Istio drop them. Whole
/// numbers are integers, regardless of how they were written.
fn normalised(value: &Value, at: &Pointer, nulls: &mut Vec<Pointer>) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let at = at.field(name);
                if value.is_null() {
                    nulls.push(at);
                } else {
                    kept.insert(name.clone(), normalised(value, &at, nulls));
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| normalised(item, &at.field(index), nulls))
            .collect(),
        Value::Number(number) => whole(number).map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

/// Returns the value of a whole number that was written with a fraction or an exponent, if a double represents all its
/// digits. Larger numbers are written with an exponent.
fn whole(number: &serde_json::Number) -> Option<i64> {
    const MOST: f64 = 1e16;
    let double = number.as_f64().filter(|_| number.is_f64())?;
    (double.fract() == 0.0 && double.abs() < MOST).then_some(double as i64)
}

// === impl Pointer ===

impl Pointer {
    fn root() -> Self {
        Self(String::new())
    }

    fn field(&self, name: impl fmt::Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{name}", self.0))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str("the top level"),
            path => write!(f, "`{path}`"),
        }
    }
}

// === impl ConfigurationError ===

fn shortened(mut reason: String) -> String {
    if let Some((end, _)) = reason.char_indices().nth(MOST_CHARS) {
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

fn listed(problems: &[Problem]) -> String {
    let mut parts: Vec<String> = problems
        .iter()
        .take(MOST_PROBLEMS)
        .map(|problem| format!("at {}, {}", problem.at, problem.reason))
        .collect();
    if problems.len() > MOST_PROBLEMS {
        parts.push(format!("and {} more", problems.len() - MOST_PROBLEMS));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arrival(way: Way, json: &str) -> Result<Arrival, String> {
        Configuration::new(json)
            .arrival(way)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_that_lose_precision_are_rejected_with_their_path() {
        for (way, number, arrives) in [
            (Way::Istio, "9007199254740993", Some("9007199254740992")),
            (Way::Istio, "9007199254740992", None),
            (Way::Istio, "-9007199254740993", Some("-9007199254740992")),
            // Two equally short representations of the same double.
            (Way::Istio, "-2036399364046149.2", None),
            (Way::Istio, "-2036399364046149.3", None),
            (
                Way::Istio,
                "-2036399364046149.27",
                Some("-2036399364046149.3"),
            ),
            (
                Way::Istio,
                "18446744073709551615",
                Some("18446744073709552000"),
            ),
            (Way::Istio, "1e23", None),
            (Way::Istio, "1.0", None),
            (Way::Istio, "0.1", None),
            (Way::Istio, "-0", None),
            (Way::Istio, "0.10e1", None),
            (
                Way::Istio,
                "3.14159265358979323846",
                Some("3.141592653589793"),
            ),
            (Way::Istio, "1e-400", Some("0")),
            (Way::Gateway, "9007199254740993", None),
            (
                Way::Gateway,
                "18446744073709551615",
                Some("18446744073709552000"),
            ),
            (
                Way::Gateway,
                "0.12345678901234567890",
                Some("0.12345678901234568"),
            ),
            (Way::Bytes, "9007199254740993", None),
        ] {
            let arrival = arrival(way, &format!(r#"{{"rules": [1, {{"a/b": {number}}}]}}"#));
            match arrives {
                None => assert!(arrival.is_ok(), "{way:?} {number}: {arrival:?}"),
                Some(arrives) => {
                    let error = arrival.expect_err(number);
                    let expected = format!(
                        "the number {number} at `/rules/1/a~1b` has more digits than Istio preserves: the plugin would read {arrives};"
                    );
                    assert!(error.starts_with(&expected), "{error}");
                }
            }
        }
    }

    #[test]
    fn numbers_outside_the_f64_range_are_rejected() {
        assert!(arrival(Way::Istio, r#"{"a": 1e400}"#).is_err());
    }

    #[test]
    fn null_fields_are_dropped_and_reported_for_istio() {
        let given = r#"{"a": null, "b": {"c": null}, "d": [null, {"e": null}]}"#;
        let arrives = arrival(Way::Istio, given).expect("configuration should be deployable");
        assert_eq!(arrives.value, Some(json!({ "b": {}, "d": [null, {}] })));
        let nulls: Vec<_> = arrives.nulls.iter().map(Pointer::to_string).collect();
        assert_eq!(nulls, ["`/a`", "`/b/c`", "`/d/1/e`"]);
        let text = arrival(Way::Bytes, given).expect("configuration should be deployable");
        assert_eq!(text.value, serde_json::from_str(given).ok());
    }

    #[test]
    fn only_istio_drops_an_empty_object() {
        for given in ["{}", r#"{"a": null}"#] {
            assert_eq!(
                arrival(Way::Istio, given)
                    .expect("configuration should be deployable")
                    .value,
                None
            );
        }
        let gateway = arrival(Way::Gateway, "{}").expect("configuration should be deployable");
        assert_eq!(gateway.value, Some(json!({})));
    }

    #[test]
    fn only_istio_requires_an_object() {
        let error = arrival(Way::Istio, "[1]").expect_err("arrays should be rejected");
        assert!(error.contains("not a JSON object"), "{error}");
        assert!(arrival(Way::Gateway, "[1]").is_ok());
        assert!(arrival(Way::Bytes, "1").is_ok());
    }

    #[test]
    fn bytes_need_not_be_json() {
        let key = "-----BEGIN PUBLIC KEY-----";
        assert_eq!(
            arrival(Way::Bytes, key)
                .expect("configuration should be deployable")
                .value,
            None
        );
        for way in [Way::Istio, Way::Gateway] {
            let error = arrival(way, key).expect_err("text should not be JSON");
            assert!(error.contains("not JSON"), "{error}");
        }
    }

    #[test]
    fn received_configuration_is_validated_against_the_schema() {
        let schema = json!({
            "type": "object",
            "required": ["limit"],
            "additionalProperties": false,
            "properties": { "limit": { "type": "integer", "minimum": 1 } },
        });
        check(Some(&json!({ "limit": 3 })), &schema).expect("configuration should be accepted");
        let refused = |arrives: Option<Value>| {
            check(arrives.as_ref(), &schema)
                .expect_err("configuration should be rejected")
                .to_string()
        };
        let error = refused(Some(json!({ "limit": 0, "other": 1 })));
        assert!(
            error.starts_with("the plugin rejects this configuration: ")
                && error.contains("at `/limit`, 0 is less than the minimum of 1")
                && error.contains("at the top level, ")
                && error.contains("'other'"),
            "{error}"
        );
        let error = refused(None);
        assert!(
            error.contains("requires a configuration") && error.contains("limit"),
            "{error}"
        );
    }

    #[test]
    fn long_schema_errors_are_truncated() {
        let schema = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        let error = check(
            Some(&json!(
                "ä".repeat(9).repeat(99).split("").collect::<Vec<_>>()
            )),
            &schema,
        );
        let error = error.expect_err("lists should be rejected").to_string();
        assert!(error.len() < 1000 && error.ends_with('…'), "{error}");
    }

    #[test]
    fn remote_schema_reference_is_an_error() {
        let schema = json!({ "$ref": "https://example.com/schema.json" });
        let error = check(None, &schema).expect_err("external schemas should be rejected");
        assert!(matches!(error, ConfigurationError::Schema(_)), "{error}");
    }
}
