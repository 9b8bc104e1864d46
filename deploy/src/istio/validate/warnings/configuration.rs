//! Warnings about how `pluginConfig` is transformed on its way to the plugin. `kubectl apply` removes null fields. istiod
//! stores the rest as a Protobuf `Struct` and serializes it as JSON, so that all numbers are doubles and `{}` is equivalent
//! to no configuration. In addition, YAML 1.1 may have resolved values to types other than the apparent ones.

use super::Warnings;
use crate::istio::validate::schema::Step;
use crate::yaml::{Node, Value, excerpt};

/// The largest number up to which every integer has a distinct representation as a double.
const EXACT: u64 = 1 << 53;

// === impl Warnings ===

impl<'a> Warnings<'a, '_> {
    /// Checks all nodes below this one.
    pub fn configuration(&mut self, node: &'a Node) {
        match &node.value {
            Value::Mapping(mapping) => {
                for entry in &mapping.entries {
                    self.steps.push(Step::Field(&entry.key.name));
                    if entry.value.is_null() {
                        self.warn(
                            "pluginConfig.null",
                            entry.key.position,
                            "`kubectl apply` removes fields that are null, while `kubectl create` keeps them: remove it, or set a value".into(),
                        );
                    } else {
                        self.configuration(&entry.value);
                    }
                    self.steps.pop();
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.configuration(item);
                    self.steps.pop();
                }
            }
            Value::Bool(value) => {
                let written = node.written.as_deref().unwrap_or_default();
                if !written.eq_ignore_ascii_case("true") && !written.eq_ignore_ascii_case("false") {
                    self.warn(
                        "pluginConfig.boolean",
                        node.position,
                        format!(
                            "`{written}` reaches the plugin as `{value}`: quote it if it is a string"
                        ),
                    );
                }
            }
            Value::Integer(value) => {
                let digits = value.unsigned_abs();
                // Trailing zero bits are part of the exponent.
                let exact = digits.checked_shr(digits.trailing_zeros()).unwrap_or(0) <= EXACT;
                self.number(node, *value as f64, exact);
            }
            Value::Float(value) => {
                let written = node.written.as_deref().unwrap_or_default();
                let (given, arrives) = (significant(written), significant(&json_number(*value)));
                // A fraction may have two equally short representations, and istiod may choose the other one.
                if given == arrives || value.fract() == 0.0 || given.len() > arrives.len() {
                    self.number(node, *value, given == arrives);
                }
            }
            Value::Null | Value::String(_) => {}
        }
    }

    fn number(&mut self, node: &Node, value: f64, exact: bool) {
        let written = node.written.as_deref().unwrap_or_default();
        let arrives = json_number(value);
        let (same, written) = (arrives == written, excerpt(written));
        if !exact {
            self.warn(
                "pluginConfig.number-digits",
                node.position,
                format!("`{written}` has more digits than a double can represent and reaches the plugin as `{arrives}`: quote it to preserve all digits"),
            );
        } else if !same {
            self.warn(
                "pluginConfig.number-form",
                node.position,
                format!(
                    "`{written}` reaches the plugin as `{arrives}`: quote it if it is a string"
                ),
            );
        }
    }
}

/// Formats a double like istiod.
fn json_number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-6 || value.abs() >= 1e21) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                format!("{mantissa}e+{exponent}")
            }
            _ => text,
        };
    }
    value.to_string()
}

/// Returns the significant digits of a decimal number.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}
