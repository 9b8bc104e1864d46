//! Time as the proxy knows it, the contract's `clock`.

use crate::bindings::clock;

/// Nanoseconds since 1970-01-01 00:00 UTC.
///
/// Logic that depends on time is easiest to test when it is handed this number and never asks for it.
pub fn now() -> u64 {
    clock::now()
}
