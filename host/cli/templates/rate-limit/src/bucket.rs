//! A token bucket. It takes the time as an argument, in nanoseconds, so that it can be tested without a clock.

use std::num::NonZeroU32;

/// Holds up to `burst` tokens, and receives `rate` tokens in each second, at regular intervals.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: u128,
    capacity: u128,
    level: u128,
    last: u64,
}

/// The value of a token. The level increases by `rate` in each nanosecond, so that nothing is rounded.
const TOKEN: u128 = 1_000_000_000;

impl Bucket {
    /// A bucket with `burst` tokens.
    pub fn full(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        let capacity = u128::from(burst.get()) * TOKEN;
        Bucket {
            rate: u128::from(rate.get()),
            capacity,
            level: capacity,
            last: 0,
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: u64) -> bool {
        let gained = u128::from(now.saturating_sub(self.last)) * self.rate;
        self.level = self.capacity.min(self.level + gained);
        self.last = now;
        match self.level.checked_sub(TOKEN) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_allowed_before_the_rate_applies() {
        let [rate, burst] = [2, 3].map(|number| NonZeroU32::new(number).expect("not zero"));
        let mut bucket = Bucket::full(rate, burst);
        let start = 1_700_000_000_000_000_000;
        let passed = |bucket: &mut Bucket, now| (0..5).filter(|_| bucket.take(now)).count();
        assert_eq!(passed(&mut bucket, start), 3);
        assert_eq!(passed(&mut bucket, start + 499_999_999), 0);
        assert_eq!(passed(&mut bucket, start + 1_000_000_000), 2);
        assert_eq!(passed(&mut bucket, start + 60_000_000_000), 3);
    }
}
