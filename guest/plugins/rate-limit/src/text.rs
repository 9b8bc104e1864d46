//! Limits and durations that a configuration contains as text, such as `10/s`, `1000/1h` and `30s`. Fractions are not allowed.

use plugin_matching::read::{Read, Shape, Value};

/// A number of requests in an interval, such as `10/s`, `1000/1h` or `5/100ms`. Without an interval, a number of requests in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number.
    pub count: u32,
    /// The interval, in nanoseconds.
    pub interval: Option<u64>,
}

/// A duration, such as `30s` or `1h`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nanoseconds(pub u64);

impl Read for Rate {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        let reason = "expected a limit such as 10/s, 1000/1h or 5/100ms";
        Rate::parse(value.text()).map(drop).ok_or(reason.into())
    });

    fn read(value: &Value) -> Self {
        Rate::parse(value.text()).unwrap_or(Rate {
            count: 1,
            interval: None,
        })
    }
}

impl Read for Nanoseconds {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Text, |value| {
        let duration = duration(value.text());
        *value = Value::Number(duration.ok_or("expected a duration such as 500ms, 30s or 1h")?);
        Ok(())
    });

    fn read(value: &Value) -> Self {
        Nanoseconds(u64::read(value))
    }
}

impl Rate {
    /// Parses a limit. Returns `None` if it is invalid or 0.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, interval) = match text.split_once('/') {
            Some((count, interval)) => (count, Some(duration(interval)?)),
            None => (text, None),
        };
        let count = count.parse().ok().filter(|count| *count > 0)?;
        Some(Rate { count, interval })
    }
}

/// Parses a duration, which is not 0. A unit alone is one of it.
fn duration(text: &str) -> Option<u64> {
    let unit = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let number: u64 = if number.is_empty() {
        1
    } else {
        number.parse().ok()?
    };
    let unit = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|duration| *duration > 0)
}

/// Appends a number in decimal.
pub fn push_number(text: &mut String, mut number: u32) {
    let mut digits = [0; 10];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    for digit in digits.iter().skip(digits.len() - length) {
        text.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_count_and_an_interval() {
        for (text, count, interval) in [
            ("10/s", 10, Some(1_000_000_000)),
            ("1000/1h", 1000, Some(3_600_000_000_000)),
            ("5/100ms", 5, Some(100_000_000)),
            ("1/7d", 1, Some(604_800_000_000_000)),
            ("2/m", 2, Some(60_000_000_000)),
            ("3", 3, None),
        ] {
            assert_eq!(Rate::parse(text), Some(Rate { count, interval }));
        }
        for text in [
            "",
            "/s",
            "0/s",
            "10/",
            "10/0s",
            "10/1.5s",
            "10/w",
            "-1/s",
            "1e3/s",
            "10/s/s",
            "10 /s",
            "4294967296/s",
            "1/999999999999999d",
            "1/5",
            "1/é",
        ] {
            assert!(Rate::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 4711, u32::MAX] {
            let mut text = String::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}
