//! The clock that plugins see.
//!
//! Plugins read the time only through hostcalls and WASI, and both use the same clock, so that a test can stop and advance it. Deadlines
//! for guest code do not use this clock, because they must work while it is stopped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A source of time for plugins.
pub trait Clock: Send + Sync {
    /// Returns the time in nanoseconds since 1970-01-01 00:00 UTC.
    fn now(&self) -> u64;

    /// Returns the time in nanoseconds since an unspecified moment. It never decreases.
    fn monotonic(&self) -> u64 {
        system_monotonic()
    }
}

/// Returns the time in nanoseconds since an unspecified moment, from the system. It never decreases.
pub fn system_monotonic() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time after a duration, in nanoseconds.
pub fn after(time: u64, duration: Duration) -> u64 {
    time.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A clock that changes only on request. Its two times differ by what [`set_now`](Self::set_now) has changed.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// Creates a clock with the time `now`, in nanoseconds since the epoch.
    pub fn new(now: u64) -> Self {
        Self {
            now: AtomicU64::new(now),
            monotonic: AtomicU64::new(0),
        }
    }

    /// Sets the time, but not the monotonic time.
    pub fn set_now(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Advances both times.
    pub fn advance(&self, by: Duration) {
        for time in [&self.now, &self.monotonic] {
            // The clock is advanced by one thread, the test's.
            time.store(after(time.load(Ordering::Relaxed), by), Ordering::Relaxed);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_changes_only_on_request() {
        let clock = ManualClock::new(7);
        assert_eq!((clock.now(), clock.monotonic()), (7, 0));
        clock.advance(Duration::from_nanos(5));
        clock.set_now(3);
        assert_eq!((clock.now(), clock.monotonic()), (3, 5));
    }
}
