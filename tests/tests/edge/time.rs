//! How time passes for a proxy.

use std::sync::Arc;
use std::time::Duration;

use tidegate_host::ManualClock;

/// How often a client that waits for a timeout looks for a result.
pub const TICK: Duration = Duration::from_millis(20);

/// How far a manual clock advances each time.
const STEP: Duration = Duration::from_millis(100);

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
    /// Lets this much time pass.
    pub fn elapse(&self, duration: Duration) {
        match self {
            // This is what the case is about, and Envoy has no other clock.
            Self::Real => std::thread::sleep(duration),
            Self::Manual(clock) => clock.advance(duration),
        }
    }

    /// Lets time pass while a client waits for a timeout.
    pub fn tick(&self) {
        if let Self::Manual(clock) = self {
            clock.advance(STEP);
        }
    }
}
