//! [`Limiter`]: a token bucket for each client, in a map of bounded size.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::Rate;

/// The time between two searches for buckets that can be forgotten, in nanoseconds.
const SWEEP_AFTER: u64 = 1_000_000_000;

/// The buckets of all clients.
pub struct Limiter {
    refill: Refill,
    most: usize,
    buckets: HashMap<Option<IpAddr>, Bucket>,
    /// What clients share that find no place in the map.
    overflow: Bucket,
    swept: u64,
}

struct Refill {
    /// The time in which a token comes in, in nanoseconds.
    token: f64,
    burst: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    /// When the tokens were counted, in nanoseconds.
    time: u64,
}

impl Limiter {
    /// Creates a limiter that keeps at most `most` buckets. Without `burst`, as many requests as the limit pass at once.
    pub fn new(limit: &Rate, burst: Option<u32>, most: usize) -> Limiter {
        let refill = Refill {
            token: limit.interval as f64 / f64::from(limit.count),
            burst: burst.unwrap_or(limit.count).into(),
        };
        Limiter {
            overflow: refill.full(0),
            refill,
            most,
            buckets: HashMap::new(),
            swept: 0,
        }
    }

    /// Takes a token from the bucket of a client. If there is none, the error is the number of seconds until there is.
    pub fn take(&mut self, client: Option<IpAddr>, now: u64) -> Result<(), u64> {
        if let Some(bucket) = self.buckets.get_mut(&client) {
            return self.refill.take(bucket, now);
        }
        if self.buckets.len() >= self.most && now.saturating_sub(self.swept) >= SWEEP_AFTER {
            self.swept = now;
            let refill = &self.refill;
            self.buckets
                .retain(|_, bucket| !refill.is_full(bucket, now));
        }
        let bucket = if self.buckets.len() < self.most {
            self.buckets
                .entry(client)
                .or_insert_with(|| self.refill.full(now))
        } else {
            &mut self.overflow
        };
        self.refill.take(bucket, now)
    }
}

impl Refill {
    fn full(&self, now: u64) -> Bucket {
        Bucket {
            tokens: self.burst,
            time: now,
        }
    }

    fn is_full(&self, bucket: &Bucket, now: u64) -> bool {
        self.tokens(bucket, now) >= self.burst
    }

    fn tokens(&self, bucket: &Bucket, now: u64) -> f64 {
        let elapsed = now.saturating_sub(bucket.time) as f64;
        (bucket.tokens + elapsed / self.token).min(self.burst)
    }

    fn take(&self, bucket: &mut Bucket, now: u64) -> Result<(), u64> {
        bucket.tokens = self.tokens(bucket, now);
        bucket.time = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            let nanoseconds = (1.0 - bucket.tokens) * self.token;
            Err((nanoseconds / 1e9).ceil() as u64)
        }
    }
}
