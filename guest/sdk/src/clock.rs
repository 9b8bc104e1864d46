//! The current time, as reported by the proxy. Wraps the contract's `clock` interface.

use std::time::{Duration, SystemTime};

use crate::bindings::clock;

/// Returns the current time in nanoseconds since 1970-01-01 00:00 UTC.
///
/// Time-dependent logic is easiest to test if it receives this value as an argument instead of calling this function.
pub fn now() -> u64 {
    clock::now()
}

/// Returns the current time, for calculations with dates and for libraries that expect this type.
///
/// It is that of [`now`], with a resolution of nanoseconds. [`SystemTime::now`] does not ask the proxy, but imports an interface of WASI.
pub fn system_time() -> SystemTime {
    since_epoch(now())
}

fn since_epoch(nanoseconds: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds));
    // The sum cannot be too large before the year 2554, where the nanoseconds end.
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_a_time() {
        for nanoseconds in [0, 1, 1_700_000_000_123_456_789, u64::MAX] {
            let since = since_epoch(nanoseconds).duration_since(SystemTime::UNIX_EPOCH);
            assert_eq!(since.expect("after 1970").as_nanos(), nanoseconds.into());
        }
    }
}
