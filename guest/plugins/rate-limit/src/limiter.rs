//! Whether a request passes. Pure: every method is handed the time, in nanoseconds since any fixed moment.
//!
//! A clock may be set back; neither algorithm then keeps requests waiting for the time to come round again.

use std::num::NonZeroU32;

/// One of the two ways to count.
#[derive(Clone, Copy, Debug)]
pub enum Limiter {
    /// See [`TokenBucket`].
    TokenBucket(TokenBucket),
    /// See [`FixedWindow`].
    FixedWindow(FixedWindow),
}

/// A bucket that holds `burst` tokens, is full at first and gets `rate` of them in each period, evenly.
///
/// The level is counted in parts of a token, `period` to each, so that `rate` parts come in with every nanosecond and
/// nothing is ever rounded.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: u32,
    token: u64,
    capacity: u128,
    level: u128,
    last: u64,
}

/// `rate` requests in each window. A window begins with a request, more than `period` after the one before it began.
#[derive(Clone, Copy, Debug)]
pub struct FixedWindow {
    rate: u32,
    period: u64,
    left: u32,
    began: Option<u64>,
}

// === impl Limiter ===

impl Limiter {
    /// Whether a request that comes at `now` passes; it is counted if it does.
    pub fn passes(&mut self, now: u64) -> bool {
        match self {
            Limiter::TokenBucket(bucket) => bucket.passes(now),
            Limiter::FixedWindow(window) => window.passes(now),
        }
    }
}

// === impl TokenBucket ===

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: NonZeroU32, period: u64, burst: NonZeroU32) -> Self {
        let capacity = u128::from(burst.get()) * u128::from(period);
        TokenBucket {
            rate: rate.get(),
            token: period,
            capacity,
            level: capacity,
            last: 0,
        }
    }

    fn passes(&mut self, now: u64) -> bool {
        let gained = u128::from(now.saturating_sub(self.last)) * u128::from(self.rate);
        self.level = self.capacity.min(self.level + gained);
        self.last = now;
        match self.level.checked_sub(u128::from(self.token)) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

// === impl FixedWindow ===

impl FixedWindow {
    /// A window that has not begun.
    pub fn new(rate: NonZeroU32, period: u64) -> Self {
        FixedWindow {
            rate: rate.get(),
            period,
            left: 0,
            began: None,
        }
    }

    fn passes(&mut self, now: u64) -> bool {
        let within = self
            .began
            .is_some_and(|began| (began..=began.saturating_add(self.period)).contains(&now));
        if !within {
            self.began = Some(now);
            self.left = self.rate;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_700_000_000 * SECOND;

    fn bucket(rate: u32, burst: u32) -> Limiter {
        let [rate, burst] = [rate, burst].map(|number| NonZeroU32::new(number).expect("not zero"));
        Limiter::TokenBucket(TokenBucket::new(rate, SECOND, burst))
    }

    fn window(rate: u32) -> Limiter {
        Limiter::FixedWindow(FixedWindow::new(
            NonZeroU32::new(rate).expect("not zero"),
            SECOND,
        ))
    }

    /// How many of `requests` at `now` pass.
    fn passing(limiter: &mut Limiter, requests: usize, now: u64) -> usize {
        (0..requests).filter(|_| limiter.passes(now)).count()
    }

    #[test]
    fn bucket_allows_its_burst_then_its_rate() {
        let mut limiter = bucket(2, 5);
        assert_eq!(passing(&mut limiter, 10, START), 5);
        assert_eq!(
            passing(&mut limiter, 10, START + SECOND / 2 - 1),
            0,
            "half a second makes one token, not less"
        );
        assert_eq!(passing(&mut limiter, 10, START + SECOND / 2), 1);
        assert_eq!(passing(&mut limiter, 10, START + 2 * SECOND), 3);
        assert_eq!(
            passing(&mut limiter, 10, START + 3600 * SECOND),
            5,
            "no more than the burst is saved up"
        );
    }

    #[test]
    fn bucket_does_not_lose_fractional_tokens() {
        let mut limiter = bucket(3, 1);
        let passed = (0..3 * SECOND)
            .step_by(1_000_000)
            .filter(|now| limiter.passes(START + now))
            .count();
        assert_eq!(
            passed, 9,
            "one at once, and one for each third of a second that is over"
        );
    }

    #[test]
    fn window_restarts_after_more_than_a_second() {
        let mut limiter = window(2);
        assert_eq!(passing(&mut limiter, 3, START), 2);
        assert_eq!(
            passing(&mut limiter, 3, START + SECOND),
            0,
            "a window is over only after its last nanosecond"
        );
        assert_eq!(passing(&mut limiter, 3, START + SECOND + 1), 2);
        assert_eq!(
            passing(&mut limiter, 3, START + 10 * SECOND),
            2,
            "what was not used is not saved up"
        );
    }

    #[test]
    fn backward_clock_does_not_block_requests() {
        for mut limiter in [bucket(2, 2), window(2)] {
            assert_eq!(passing(&mut limiter, 3, START), 2);
            let passed = passing(&mut limiter, 3, START - 3600 * SECOND);
            let later = passing(&mut limiter, 3, START - 3598 * SECOND);
            assert!(passed + later >= 2, "{limiter:?}");
        }
    }

    #[test]
    fn maximum_values_do_not_overflow() {
        for mut limiter in [bucket(u32::MAX, u32::MAX), window(u32::MAX)] {
            assert!(limiter.passes(0));
            assert!(limiter.passes(u64::MAX));
            assert!(limiter.passes(u64::MAX));
        }
    }

    /// Requests as times between them: mostly close together, now and then far apart.
    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(
            prop_oneof![0..SECOND / 10, 0..SECOND, 0..10 * SECOND],
            1..200,
        )
    }

    proptest! {
        /// In no stretch of time, however it is cut out, pass more than the burst and what came in during it.
        #[test]
        fn bucket_never_exceeds_burst_plus_refill(rate in 1u32..50, burst in 1u32..50, gaps in gaps()) {
            let mut limiter = bucket(rate, burst);
            let mut now = START;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if limiter.passes(now) {
                    passed.push(now);
                }
            }
            for (first, begin) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let came_in = u128::from(end - begin) * u128::from(rate) / u128::from(SECOND);
                    prop_assert!((last - first + 1) as u128 <= u128::from(burst) + came_in);
                }
            }
        }

        /// A client that keeps to the rate is never refused.
        #[test]
        fn bucket_never_limits_a_client_within_its_rate(rate in 1u32..1000, burst in 1u32..10, requests in 1u64..500) {
            let mut limiter = bucket(rate, burst);
            let spacing = SECOND.div_ceil(u64::from(rate));
            for request in 0..requests {
                prop_assert!(limiter.passes(START + request * spacing), "request {request}");
            }
        }

        /// Between the first requests of two windows pass exactly as many as came, up to the rate.
        #[test]
        fn window_allows_exactly_its_rate(rate in 1u32..20, gaps in gaps()) {
            let mut limiter = window(rate);
            let (mut now, mut began, mut came) = (START, None::<u64>, 0);
            for gap in gaps {
                now += gap;
                if began.is_none_or(|began| now - began > SECOND) {
                    (began, came) = (Some(now), 0);
                }
                came += 1;
                prop_assert_eq!(limiter.passes(now), came <= rate);
            }
        }
    }
}
