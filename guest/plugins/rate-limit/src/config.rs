//! What an operator may configure.

use std::num::NonZeroU32;

use serde::Deserialize;
use tidegate_guest::{ConfigError, FieldName, FieldValue, LocalResponse};

use crate::limiter::{FixedWindow, Limiter, TokenBucket};

/// How many requests pass, and what the others are answered.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many requests pass in the time that `per` gives.
    pub rate: NonZeroU32,
    /// The time that `rate` is for.
    #[serde(default)]
    pub per: Period,
    /// How many requests pass at once after a quiet time; as many as `rate` if absent. For `token_bucket` only.
    #[serde(default)]
    pub burst: Option<NonZeroU32>,
    /// How requests are counted.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The status of the response to a rejected request, 200 to 599.
    #[serde(default = "default_status")]
    #[cfg_attr(test, schemars(range(min = 200, max = 599)))]
    pub status: u16,
    /// The body of the response to a rejected request.
    #[serde(default = "default_body")]
    pub body: String,
    /// Headers of the response to a rejected request.
    #[serde(default)]
    pub headers: Vec<Header>,
}

/// A time that requests are counted in.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A second.
    #[default]
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// A way to count requests.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Tokens come in evenly, and each request takes one: no more than `burst` at once, and `rate` in the long run.
    #[default]
    TokenBucket,
    /// `rate` requests in each window; the next one begins with the first request after it.
    FixedWindow,
}

/// A header.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: FieldName,
    /// Its value.
    #[cfg_attr(test, schemars(with = "String"))]
    pub value: FieldValue,
}

fn default_status() -> u16 {
    429
}

fn default_body() -> String {
    "rate limited\n".to_owned()
}

impl Config {
    /// The limiter that is configured.
    pub fn limiter(&self) -> Result<Limiter, ConfigError> {
        let period = self.per.nanoseconds();
        match (self.algorithm, self.burst) {
            (Algorithm::TokenBucket, burst) => Ok(Limiter::TokenBucket(TokenBucket::new(
                self.rate,
                period,
                burst.unwrap_or(self.rate),
            ))),
            (Algorithm::FixedWindow, None) => {
                Ok(Limiter::FixedWindow(FixedWindow::new(self.rate, period)))
            }
            (Algorithm::FixedWindow, Some(_)) => Err(ConfigError::at(
                "burst",
                "goes with the algorithm `token_bucket`, a fixed window has none",
            )),
        }
    }

    /// What a request is answered that does not pass.
    pub fn into_refusal(self) -> Result<LocalResponse, ConfigError> {
        if !(200..=599).contains(&self.status) {
            return Err(ConfigError::at(
                "status",
                format!("expected 200 to 599, got {}", self.status),
            ));
        }
        let mut refusal = LocalResponse::new(self.status)
            .body(self.body)
            .details("rate_limited");
        for (index, Header { name, value }) in self.headers.into_iter().enumerate() {
            if name.is_pseudo() {
                let reason = format!(
                    "expected a header name, got \"{}\": the status has a field of its own",
                    &*name
                );
                return Err(ConfigError::at(format!("headers[{index}].name"), reason));
            }
            refusal = refusal.header(name, value);
        }
        Ok(refusal)
    }
}

impl Period {
    fn nanoseconds(self) -> u64 {
        let seconds = match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        };
        seconds * 1_000_000_000
    }
}
