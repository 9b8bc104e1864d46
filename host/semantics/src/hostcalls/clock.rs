//! `clock`: the proxy's clock.

use crate::context::Services;

/// Returns the time in nanoseconds since 1970-01-01 00:00 UTC.
#[inline]
pub fn now(services: &Services) -> u64 {
    services.clock.now()
}
