//! A timer for deadlines that move with every request, and rarely expire.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::clock::Clock;

/// A timer that is set only if the next deadline is earlier than the time at which it is going to fire anyway. Moving a
/// deadline into the future is then free; setting a timer for each request is not.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Option<Armed>,
}

struct Armed {
    at: u64,
    sleep: Pin<Box<dyn Future<Output = ()>>>,
}

// === impl Alarm ===

impl Alarm {
    /// Waits until [`Clock::monotonic`] returns at least `at`. The result refers to the time of this call, and not to those
    /// of earlier ones.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, clock: &dyn Clock, at: u64) -> Poll<()> {
        loop {
            let armed = match &mut self.armed {
                Some(armed) if armed.at <= at => armed,
                _ => self.armed.insert(Armed {
                    at,
                    sleep: clock.sleep_until(at),
                }),
            };
            ready!(armed.sleep.as_mut().poll(cx));
            self.armed = None;
            if clock.monotonic() >= at {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn only_the_last_deadline_counts() {
        let clock = ManualClock::new(0);
        let mut alarm = Alarm::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(alarm.poll(&mut cx, &clock, 10).is_pending());
        // A later deadline.
        assert!(alarm.poll(&mut cx, &clock, 20).is_pending());
        clock.advance(Duration::from_nanos(10));
        assert!(alarm.poll(&mut cx, &clock, 20).is_pending());
        // An earlier one.
        assert!(alarm.poll(&mut cx, &clock, 15).is_pending());
        clock.advance(Duration::from_nanos(5));
        assert!(alarm.poll(&mut cx, &clock, 15).is_ready());
    }
}
