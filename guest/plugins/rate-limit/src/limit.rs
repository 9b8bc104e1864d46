//! [`Limit`]: the four algorithms, over a [`Bucket`] of 16 bytes. Methods are pure: they take the time as an argument, in nanoseconds
//! since any fixed moment.
//!
//! If the clock is set back, no algorithm rejects requests until the earlier time is reached again, except for at most a second.

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Tokens come in evenly, and each request takes some.
    TokenBucket,
    /// Requests in the current window, plus those in the window before in proportion to how much of it lies within one interval.
    SlidingWindow,
    /// Requests in a window, which begins with its first request.
    FixedWindow,
    /// Requests that are in progress. The interval is how long one is counted at least if its end is not reported.
    Concurrency,
}

/// A limit that is checked in constant time and without allocation.
///
/// Guarantees, for one bucket and a clock that is not set back:
///
/// * [`TokenBucket`](Algorithm::TokenBucket): in any time t, at most `burst + count · t / interval`. Nothing is rounded.
/// * [`FixedWindow`](Algorithm::FixedWindow): at most `count` in each window, and `2 · count` in any time as long as a window.
/// * [`SlidingWindow`](Algorithm::SlidingWindow): the same bounds, and the estimate for the last interval never exceeds `count`. The
///   estimate is exact if the requests of the window before were evenly distributed.
/// * [`Concurrency`](Algorithm::Concurrency): at most `count` at the same time, not counting those that are older than the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    algorithm: Algorithm,
    count: u32,
    burst: u32,
    interval: u64,
    /// Parts of a token, of which `gain` come in with each nanosecond. So nothing has to be rounded.
    token: u64,
    gain: u64,
    capacity: u64,
    /// From how many missing parts on the limit is near.
    near: u64,
    /// By how many bits times are shortened, so that an interval fits into 32 bits.
    shift: u32,
}

/// The state of a limit for one key. The default has not been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When `used` was computed, or when the current window began.
    pub time: u64,
    /// For a token bucket, how many parts of tokens are missing. Otherwise, the numbers of the window before and of the current one, in
    /// 32 bits each.
    pub used: u64,
}

/// The quota that is left in a bucket. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many more requests with a cost of 1 pass now.
    pub remaining: u32,
    /// The time until the bucket is as if it had not been used.
    pub reset: u64,
    /// The time until a request with the given cost passes if no other one does in the meantime. 0 if it passes now.
    pub retry: u64,
}

/// Debt is at most this many parts of tokens, so that sums fit into 64 bits.
const DEEPEST: u64 = 1 << 62;

/// A time that is earlier by at most a second is that of a worker that read the clock before another one. It counts as the same time:
/// otherwise tokens would come in twice. An earlier time than that means that the clock has been set back.
const SKEW: u64 = 1_000_000_000;

/// The limit is near if at least this share of the quota is used, in percent. Envoy's rate limit service uses the same share.
const NEAR: u64 = 80;

impl Limit {
    /// Creates a limit of `count` in `interval` nanoseconds. Returns `None` if one of the numbers is 0, or if `burst` times the
    /// interval is too large to be counted in nanoseconds.
    pub fn new(algorithm: Algorithm, count: u32, interval: u64, burst: u32) -> Option<Self> {
        if count == 0 || interval == 0 || burst == 0 {
            return None;
        }
        let divisor = greatest_common_divisor(interval, count.into());
        let token = interval / divisor;
        let capacity = token
            .checked_mul(burst.into())
            .filter(|it| *it <= DEEPEST)?;
        Some(Limit {
            algorithm,
            count,
            burst,
            interval,
            token,
            gain: u64::from(count) / divisor,
            capacity,
            near: capacity / 100 * NEAR,
            shift: 32_u32.saturating_sub(interval.leading_zeros()),
        })
    }

    /// Returns the algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns how many requests with a cost of 1 pass at once if the bucket has not been used.
    pub fn most(&self) -> u32 {
        match self.algorithm {
            Algorithm::TokenBucket => self.burst,
            _ => self.count,
        }
    }

    /// Returns the count of the limit.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the interval, or the lease, in nanoseconds.
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// Takes `cost` from a bucket if it has that much. Returns whether it has. A cost of 0 passes if a cost of 1 would.
    #[inline]
    pub fn take(&self, bucket: &mut Bucket, now: u64, cost: u32) -> bool {
        self.advance(bucket, now);
        let passes = self.passes(bucket, now, cost.max(1));
        if passes {
            self.add(bucket, cost);
        }
        passes
    }

    /// Takes `cost` from a bucket, however much it has.
    pub fn charge(&self, bucket: &mut Bucket, now: u64, cost: u32) {
        self.advance(bucket, now);
        self.add(bucket, cost);
    }

    /// Gives back what a request took at `taken`. It has no effect if that is no longer counted.
    pub fn give_back(&self, bucket: &mut Bucket, taken: u64, cost: u32) {
        match self.algorithm {
            Algorithm::TokenBucket => {
                let parts = self.token.saturating_mul(cost.into());
                bucket.used = bucket.used.saturating_sub(parts);
            }
            _ => {
                let (before, current) = halves(bucket.used);
                bucket.used = if taken >= bucket.time {
                    joined(before, current.saturating_sub(cost))
                } else if bucket.time.saturating_sub(taken) <= self.interval
                    && self.algorithm != Algorithm::FixedWindow
                {
                    joined(before.saturating_sub(cost), current)
                } else {
                    bucket.used
                };
            }
        }
    }

    /// Returns whether a bucket is as if it had not been used, so that it can be forgotten.
    #[inline]
    pub fn is_idle(&self, bucket: &Bucket, now: u64) -> bool {
        let mut bucket = *bucket;
        self.advance(&mut bucket, now);
        bucket.used == 0
    }

    /// Returns whether at least 80 % of the quota are used.
    #[inline]
    pub fn is_near(&self, bucket: &Bucket, now: u64) -> bool {
        match self.algorithm {
            Algorithm::TokenBucket => bucket.used >= self.near,
            _ => self.counted(bucket, now) * 100 >= u64::from(self.count) * NEAR,
        }
    }

    /// Empties a bucket: nothing passes for as long as after the largest burst.
    pub fn exhaust(&self, bucket: &mut Bucket, now: u64) {
        bucket.time = now;
        bucket.used = match self.algorithm {
            Algorithm::TokenBucket => self.capacity,
            _ => joined(0, self.count),
        };
    }

    /// Returns what is left in a bucket, for a request with this cost.
    pub fn quota(&self, bucket: &Bucket, now: u64, cost: u32) -> Quota {
        let mut bucket = *bucket;
        self.advance(&mut bucket, now);
        let cost = cost.max(1);
        match self.algorithm {
            Algorithm::TokenBucket => {
                let left = self.capacity.saturating_sub(bucket.used);
                let needed = self.token.saturating_mul(cost.into());
                let missing = bucket
                    .used
                    .saturating_add(needed)
                    .saturating_sub(self.capacity);
                Quota {
                    remaining: saturated(left / self.token),
                    reset: bucket.used.div_ceil(self.gain),
                    retry: missing.div_ceil(self.gain),
                }
            }
            _ => {
                let counted = self.counted(&bucket, now);
                let end = bucket
                    .time
                    .saturating_add(self.interval)
                    .saturating_sub(now);
                let passes = self.passes(&bucket, now, cost);
                Quota {
                    remaining: saturated(u64::from(self.count).saturating_sub(counted)),
                    reset: match (bucket.used, self.algorithm) {
                        (0, _) => 0,
                        (used, Algorithm::SlidingWindow) if halves(used).1 > 0 => {
                            end.saturating_add(self.interval)
                        }
                        _ => end,
                    },
                    retry: if passes {
                        0
                    } else if self.algorithm == Algorithm::SlidingWindow {
                        self.slid(&bucket, cost, end)
                    } else {
                        end
                    },
                }
            }
        }
    }

    /// Returns how long it takes until a cost fits into a sliding window, whose current part ends after `end`.
    fn slid(&self, bucket: &Bucket, cost: u32, end: u64) -> u64 {
        let (before, current) = halves(bucket.used);
        let count = u64::from(self.count);
        let shortened = self.interval >> self.shift;
        // How much of a window may still lie within the interval for its `number` to fit into `room`.
        let part = |number: u32, room: u64| {
            (room.saturating_mul(shortened) / u64::from(number.max(1))).min(shortened) << self.shift
        };
        match count.checked_sub(u64::from(current) + u64::from(cost)) {
            Some(room) => end.saturating_sub(part(before, room)),
            None => {
                let room = count.saturating_sub(cost.into());
                end.saturating_add(self.interval.saturating_sub(part(current, room)))
            }
        }
    }

    /// Lets the time since the last use of a bucket pass.
    #[inline]
    fn advance(&self, bucket: &mut Bucket, now: u64) {
        let now = if bucket.time.saturating_sub(now) <= SKEW {
            now.max(bucket.time)
        } else {
            now
        };
        let elapsed = now.saturating_sub(bucket.time);
        match self.algorithm {
            Algorithm::TokenBucket => {
                let gained = times(elapsed, self.gain);
                bucket.used = bucket.used.saturating_sub(gained);
                bucket.time = now;
            }
            algorithm => {
                if bucket.used == 0 || now < bucket.time {
                    // A window begins with its first request. When the clock is set back, what was counted stays.
                    bucket.time = now;
                } else if elapsed >= self.interval {
                    let (_, current) = halves(bucket.used);
                    let next = elapsed < self.interval.saturating_mul(2);
                    let before = match algorithm {
                        Algorithm::FixedWindow => 0,
                        _ if next => current,
                        _ => 0,
                    };
                    bucket.used = joined(before, 0);
                    bucket.time = if before == 0 {
                        now
                    } else {
                        bucket.time + self.interval
                    };
                }
            }
        }
    }

    #[inline]
    fn passes(&self, bucket: &Bucket, now: u64, cost: u32) -> bool {
        match self.algorithm {
            Algorithm::TokenBucket => {
                let needed = times(self.token, cost.into());
                bucket.used.saturating_add(needed) <= self.capacity
            }
            _ => self.counted(bucket, now) + u64::from(cost) <= self.count.into(),
        }
    }

    #[inline]
    fn add(&self, bucket: &mut Bucket, cost: u32) {
        bucket.used = match self.algorithm {
            Algorithm::TokenBucket => {
                let parts = times(self.token, cost.into());
                bucket.used.saturating_add(parts).min(DEEPEST)
            }
            _ => {
                let (before, current) = halves(bucket.used);
                joined(before, current.saturating_add(cost))
            }
        };
    }

    /// Returns the number that a window, or the requests in progress, count as.
    #[inline]
    fn counted(&self, bucket: &Bucket, now: u64) -> u64 {
        let (before, current) = halves(bucket.used);
        let before = match self.algorithm {
            Algorithm::SlidingWindow if before > 0 => {
                let elapsed = now.saturating_sub(bucket.time);
                let left = self.interval.saturating_sub(elapsed) >> self.shift;
                let whole = self.interval >> self.shift;
                // Both are less than 2^32, and the result is rounded up twice.
                (u64::from(before) * (left + 1).min(whole)).div_ceil(whole)
            }
            _ => before.into(),
        };
        before + u64::from(current)
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Multiplies, or returns the largest number. Most factors are 1, and WebAssembly has no instruction that detects an overflow.
#[inline]
fn times(number: u64, factor: u64) -> u64 {
    if factor == 1 {
        number
    } else {
        number.saturating_mul(factor)
    }
}

fn halves(used: u64) -> (u32, u32) {
    ((used >> 32) as u32, used as u32)
}

fn joined(before: u32, current: u32) -> u64 {
    u64::from(before) << 32 | u64::from(current)
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
