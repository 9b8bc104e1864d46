//! The clock that plugins see.
//!
//! Plugins read the time only through hostcalls and WASI, and both use the runtime's clock, so that a test can stop and
//! advance it. Deadlines for guest code do not use this clock, because they must work while it is stopped.

use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A source of time for plugins. Their hostcalls do not wait.
#[doc(inline)]
pub use tidegate_semantics::clock::Clock as PluginClock;

/// A source of time for plugins, which the proxy can wait for.
pub trait Clock: PluginClock {
    /// Waits until [`monotonic`](PluginClock::monotonic) returns at least `deadline`. The future is polled in a tokio runtime.
    fn sleep_until(&self, deadline: u64) -> Pin<Box<dyn Future<Output = ()>>> {
        let duration = Duration::from_nanos(deadline.saturating_sub(self.monotonic()));
        let begun = Instant::now();
        Box::pin(async move {
            let left = duration.saturating_sub(begun.elapsed());
            tokio::time::sleep(left).await;
        })
    }
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl PluginClock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            })
    }
}

impl Clock for SystemClock {}

/// A clock that advances only on request. It wakes tasks that wait in [`sleep_until`](Clock::sleep_until).
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<u64>,
}

impl ManualClock {
    /// Creates a clock with the time `now`, in nanoseconds since the epoch.
    pub fn new(now: u64) -> Self {
        Self {
            now: watch::Sender::new(now),
        }
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.now.send_modify(|now| *now = now.saturating_add(by));
    }
}

impl PluginClock for ManualClock {
    fn now(&self) -> u64 {
        *self.now.borrow()
    }

    fn monotonic(&self) -> u64 {
        self.now()
    }
}

impl Clock for ManualClock {
    fn sleep_until(&self, deadline: u64) -> Pin<Box<dyn Future<Output = ()>>> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= deadline).await.is_err() {
                // The clock is gone, and time does not pass any more.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn manual_clock_moves_only_on_advance() {
        let clock = ManualClock::new(7);
        assert_eq!(clock.now(), 7);
        clock.advance(Duration::from_nanos(5));
        assert_eq!((clock.now(), clock.now()), (12, 12));
    }

    #[test]
    fn manual_clock_wakes_waiting_tasks() {
        let clock = ManualClock::new(7);
        let mut sleep = clock.sleep_until(12);
        let mut context = Context::from_waker(Waker::noop());
        clock.advance(Duration::from_nanos(4));
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_nanos(1));
        assert!(sleep.as_mut().poll(&mut context).is_ready());
        let mut orphan = clock.sleep_until(13);
        drop(clock);
        assert!(orphan.as_mut().poll(&mut context).is_pending());
    }
}
