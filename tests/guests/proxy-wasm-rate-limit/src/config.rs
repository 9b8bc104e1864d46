//! [`Config`]: the part of the configuration of `rate-limit` that the twin accepts.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// The configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The only rule.
    pub rules: [RuleConfig; 1],
    /// The response to a rejected request.
    #[serde(default)]
    pub response: ResponseConfig,
}

/// The rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The name, in metrics.
    pub name: String,
    /// How many requests of a client pass in an interval.
    pub limit: Rate,
    /// How many requests pass at once; as many as the limit if absent.
    pub burst: Option<u32>,
    /// What requests have in common that are counted together.
    #[serde(rename = "key")]
    _key: [KeyPart; 1],
    /// How many clients have a bucket of their own.
    #[serde(default = "default_max_dynamic_descriptors")]
    pub max_dynamic_descriptors: usize,
}

/// The only kind of key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum KeyPart {
    /// The address of the client.
    ClientAddress {},
}

/// The response to a rejected request.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseConfig {
    /// Whether it has the header `Retry-After`.
    pub enable_retry_after_header: bool,
}

/// A number of requests in an interval, such as `10/s`.
#[derive(Clone, Copy)]
pub struct Rate {
    /// The number.
    pub count: u32,
    /// The interval, in nanoseconds.
    pub interval: u64,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        Rate::parse(&text).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&text), &"a limit such as 10/s or 100/m")
        })
    }
}

impl Rate {
    fn parse(text: &str) -> Option<Rate> {
        let (count, unit) = text.split_once('/')?;
        let interval = match unit {
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let count = count.parse().ok().filter(|count| *count > 0)?;
        Some(Rate { count, interval })
    }
}

fn default_max_dynamic_descriptors() -> usize {
    8192
}
