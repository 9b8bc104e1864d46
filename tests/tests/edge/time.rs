//! How time passes for a proxy.

use std::sync::Arc;
use std::time::Duration;

use tidegate_host::ManualClock;

/// How often a client that waits for a timeout looks for a result. A manual clock advances by as much, so that it is not faster than the
/// real one: what a client has sent must arrive before the timeout expires.
pub const TICK: Duration = Duration::from_millis(20);

/// How time passes for a proxy.
#[derive(Clone)]
pub enum Time {
    /// By itself.
    Real,
    /// When a case says so.
    Manual(Arc<ManualClock>),
}

// === impl Time ===

impl Time {
    /// Lets time pass while a client waits for a timeout.
    pub fn tick(&self) {
        if let Self::Manual(clock) = self {
            clock.advance(TICK);
        }
    }
}
