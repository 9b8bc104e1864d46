//! Times and durations.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, de};

/// A time in nanoseconds since 1970, written as `2026-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

/// A duration, written as `1.5s` or `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing(pub Duration);

// === impl Moment ===

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339_weak(&text)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is not a valid time: expected a time in UTC since 1970, such as `2026-01-01T00:00:00Z`"
                ))
            })
    }
}

// === impl Passing ===

impl<'de> Deserialize<'de> for Passing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 0.001),
            (None, Some(number)) => (number, 1.0),
            (None, None) => (text.as_str(), f64::NAN),
        };
        number
            .parse::<f64>()
            .ok()
            .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!("`{text}` is not a valid duration: expected seconds or milliseconds, such as `1.5s` or `250ms`"))
            })
    }
}
