//! The current time, as reported by the proxy. Wraps the contract's `clock` interface.

use crate::bindings::clock;

/// Returns the current time in nanoseconds since 1970-01-01 00:00 UTC.
///
/// Time-dependent logic is easiest to test if it receives this value as an argument instead of calling this function.
pub fn now() -> u64 {
    clock::now()
}
