//! [`Shared`]: buckets that all workers of a proxy share, in a fixed number of values of its shared data.
//!
//! A value is a set. It is read, changed, and stored on the condition that no other worker has stored it in the meantime
//! (compare-and-swap). The first one is stored on the condition that there is none, which is as atomic. Shared data cannot be
//! deleted, so there are as many values as sets, and never more.
//!
//! **Over-admission.** None, under any contention: a request passes only if its worker has stored the set with this request counted, and
//! then it is counted in all later decisions. A refusal is not stored, unless the clock has been set back: otherwise, nothing would be added
//! to the bucket until the former time. An attempt fails only if another worker's attempt has succeeded. After [`TRIES`] failed attempts in
//! a row, the request is refused. To give back or to charge something is tried [`MORE_TRIES`] times, because it would otherwise be lost; a
//! lease would be counted until it expires.
//!
//! A value begins with a fingerprint of the limits. If the limits have changed, the numbers have another meaning, and the set starts empty.

use crate::key::KeyHasher;
use crate::limit::{Bucket, Limit};
use crate::set::{self, Decision, Entry, Key, Operation, WAYS};
use crate::table::Size;
use crate::text::push_number;

/// The maximum number of attempts to take something.
pub const TRIES: u32 = 100;

/// The maximum number of attempts to give back or to charge something.
pub const MORE_TRIES: u32 = 10_000;

/// A value, with the version that it is stored under.
pub type Stored = (Vec<u8>, u32);

/// The shared data of a proxy.
pub trait Store {
    /// The reason for a failure.
    type Error;

    /// Returns a value and its version.
    fn get(&self, key: &str) -> Result<Option<Stored>, Self::Error>;

    /// Stores a value if the key still has this version, or no value. Returns whether it has been stored.
    fn set(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Self::Error>;
}

/// Buckets in shared data.
#[derive(Debug)]
pub struct Shared<S> {
    store: S,
    size: Size,
    fingerprint: u64,
    /// The key of a set, without its number.
    prefix: String,
    /// Kept, so that an operation allocates only what the proxy returns.
    key: String,
    value: Vec<u8>,
}

impl<S: Store> Shared<S> {
    /// Creates buckets under keys that begin with `prefix`. Each worker does so with the same arguments.
    pub fn new(store: S, prefix: &str, size: Size, limits: &[Limit]) -> Self {
        let mut hasher = KeyHasher::new(0);
        hasher.word(size.ways as u64);
        hasher.word(size.sets.into());
        for limit in limits {
            hasher.word(limit.algorithm() as u64);
            hasher.word(limit.count().into());
            hasher.word(limit.interval());
            hasher.word(limit.most().into());
        }
        Shared {
            store,
            size,
            fingerprint: hasher.finish(),
            prefix: prefix.to_owned(),
            key: String::new(),
            value: Vec::new(),
        }
    }

    /// Returns the seed of the workers' hashes: that of the first worker, whose own one is `own`.
    pub fn seed(store: &S, prefix: &str, own: u64) -> Result<u64, S::Error> {
        let mut key = prefix.to_owned();
        key.push_str("seed");
        store.set(&key, &own.to_le_bytes(), None)?;
        let stored = store.get(&key)?;
        let seed = stored.and_then(|(value, _)| value.try_into().ok());
        Ok(seed.map_or(own, u64::from_le_bytes))
    }

    /// Does an operation with the bucket of a key. Returns `None` if there is no such bucket, and none is needed. A decision that
    /// could not be stored is refused.
    pub fn apply(
        &mut self,
        limits: &[Limit],
        key: Key,
        now: u64,
        operation: Operation,
    ) -> Result<Option<Decision>, S::Error> {
        let number = key.set(self.size.sets);
        self.key.clear();
        self.key.push_str(&self.prefix);
        push_number(&mut self.key, number);
        let mut last = None;
        let tries = match operation {
            Operation::Take(_) => TRIES,
            _ => MORE_TRIES,
        };
        for _ in 0..tries {
            let stored = self.store.get(&self.key)?;
            let mut entries = [Entry::default(); WAYS + 1];
            let Some(set) = entries.get_mut(..=self.size.ways) else {
                return Ok(None);
            };
            if let Some((value, _)) = &stored {
                decode(value, self.fingerprint, set);
            }
            last = set::apply(set, limits, key, now, operation);
            match last {
                Some(decision) if decision.passes || decision.is_set_back => {}
                unchanged => return Ok(unchanged),
            }
            encode(&mut self.value, self.fingerprint, set);
            let version = stored.map(|(_, version)| version);
            if self.store.set(&self.key, &self.value, version)? {
                return Ok(last);
            }
        }
        Ok(last.map(|decision| Decision {
            passes: false,
            ..decision
        }))
    }
}

/// Reads a set. It stays empty if the value is that of other limits.
fn decode(value: &[u8], fingerprint: u64, set: &mut [Entry]) {
    let mut words = value
        .chunks_exact(8)
        .map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    if words.next() != Some(fingerprint) || value.len() != 8 + 24 * set.len() {
        return;
    }
    for entry in set {
        let mut word = || words.next().unwrap_or(0);
        *entry = Entry {
            key: word(),
            bucket: Bucket {
                time: word(),
                used: word(),
            },
        };
    }
}

fn encode(value: &mut Vec<u8>, fingerprint: u64, set: &[Entry]) {
    value.clear();
    value.extend_from_slice(&fingerprint.to_le_bytes());
    for entry in set {
        for word in [entry.key, entry.bucket.time, entry.bucket.used] {
            value.extend_from_slice(&word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
