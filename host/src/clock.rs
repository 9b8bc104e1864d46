//! The clock that plugins see.
//!
//! Plugins read the time only through hostcalls and WASI, and both use the runtime's clock, so that a test can stop and
//! advance it. Deadlines for guest code do not use this clock, because they must work while it is stopped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time for plugins.
pub trait Clock: Send + Sync {
    /// Returns the time in nanoseconds since 1970-01-01 00:00 UTC.
    fn now(&self) -> u64;

    /// Returns the time in nanoseconds since an unspecified moment. It never decreases.
    fn monotonic(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            })
    }
}

/// A clock that advances only on request.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    /// Creates a clock with the time `now`, in nanoseconds since the epoch.
    pub fn new(now: u64) -> Self {
        Self {
            now: AtomicU64::new(now),
        }
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.now.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_on_advance() {
        let clock = ManualClock::new(7);
        assert_eq!(clock.now(), 7);
        clock.advance(Duration::from_nanos(5));
        assert_eq!((clock.now(), clock.now()), (12, 12));
    }
}
