//! `clock`: time as the proxy knows it.

use crate::context::Services;

/// Nanoseconds since the epoch.
pub(crate) fn now(services: &Services) -> u64 {
    services.clock.now()
}
