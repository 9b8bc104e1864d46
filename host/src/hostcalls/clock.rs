//! `clock`: time as the proxy knows it.

use crate::engine::vm::Surroundings;

/// Nanoseconds since the epoch.
pub(crate) fn now(around: &Surroundings) -> u64 {
    around.clock.now()
}
