//! A set: buckets of the keys whose hashes belong to it, and an overflow bucket that the remaining keys share.
//!
//! A table has a fixed number of sets, and a key belongs to one of them. A set has a fixed number of entries. A key takes an entry that
//! is empty, or whose bucket is idle: as if it had not been used. Only such a bucket is forgotten, so forgetting never lets a request
//! through that would have been rejected. If no entry is free, the key uses the last one, the overflow bucket, together with all other
//! keys that find none. When an entry becomes free, it begins with what has been used of the overflow bucket. So no key ever gets more
//! than its limit by changing from one to the other.

use crate::limit::{Algorithm, Bucket, Limit};

/// The largest number of entries in a set that are not the overflow bucket. Finding a key takes at most as many comparisons.
pub const WAYS: usize = 16;

/// A bucket and the key that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The bits of the [`Key`], 0 if there is none.
    pub key: u64,
    /// Its bucket.
    pub bucket: Bucket,
}

/// A key's hash, and which of a rule's limits it is for, in the last 8 bits. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

/// What is done with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Takes a cost if the bucket has that much.
    Take(u32),
    /// Takes a cost however much the bucket has.
    Charge(u32),
    /// Gives back a cost that was taken at a time, perhaps from the overflow bucket.
    GiveBack {
        /// The cost.
        cost: u32,
        /// The time.
        taken: u64,
        /// Whether it was taken from the overflow bucket.
        overflow: bool,
    },
}

/// The outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the bucket had what was to be taken.
    pub passes: bool,
    /// Whether the key has no bucket of its own, and shares the overflow bucket.
    pub overflow: bool,
    /// The limit that was used, as an index. That of the overflow bucket is the first one.
    pub limit: usize,
    /// The bucket after the operation.
    pub bucket: Bucket,
    /// Whether the clock has been set back since the bucket was last used, so that the bucket has to be kept even if nothing was taken.
    pub is_set_back: bool,
}

impl Key {
    /// Creates a key for one of the limits of a rule.
    pub fn new(hash: u64, limit: u8) -> Self {
        Key(hash & !0x1ff | 0x100 | u64::from(limit))
    }

    /// Returns the index of the set that the key belongs to, of `sets`.
    pub fn set(self, sets: u32) -> u32 {
        (((self.0 >> 32) * u64::from(sets)) >> 32) as u32
    }
}

/// Does an operation with the bucket of a key. Returns `None` if there is no such bucket, and none is needed.
#[inline]
pub fn apply(
    set: &mut [Entry],
    limits: &[Limit],
    key: Key,
    now: u64,
    operation: Operation,
) -> Option<Decision> {
    let index = match operation {
        // What is given back has been taken from a bucket that is not idle, unless a lease has expired.
        Operation::GiveBack { overflow: true, .. } => set.len().checked_sub(1)?,
        Operation::GiveBack { .. } => set.iter().position(|entry| entry.key == key.0)?,
        _ => place(set, limits, key, now),
    };
    let overflow = index + 1 == set.len();
    let entry = set.get_mut(index)?;
    let limit_index = if overflow { 0 } else { limit_of(key.0) };
    let limit = limits.get(limit_index)?;
    let time = entry.bucket.time;
    let passes = match operation {
        Operation::Take(cost) => limit.take(&mut entry.bucket, now, cost),
        Operation::Charge(cost) => {
            limit.charge(&mut entry.bucket, now, cost);
            true
        }
        Operation::GiveBack { cost, taken, .. } => {
            limit.give_back(&mut entry.bucket, taken, cost);
            true
        }
    };
    Some(Decision {
        passes,
        overflow,
        limit: limit_index,
        bucket: entry.bucket,
        is_set_back: entry.bucket.time < time,
    })
}

/// Returns the index of the entry of a key, which takes a free one if it has none, or that of the overflow bucket.
#[inline]
fn place(set: &mut [Entry], limits: &[Limit], key: Key, now: u64) -> usize {
    let Some((overflow, entries)) = set.split_last_mut() else {
        return 0;
    };
    if let Some(index) = entries.iter().position(|entry| entry.key == key.0) {
        return index;
    }
    let free = entries.iter().position(|entry| {
        entry.key == 0
            || limits
                .get(limit_of(entry.key))
                .is_none_or(|limit| limit.is_idle(&entry.bucket, now))
    });
    let Some(index) = free else {
        return entries.len();
    };
    if let Some(entry) = entries.get_mut(index) {
        *entry = Entry {
            key: key.0,
            bucket: first_bucket(&overflow.bucket, limits, limit_of(key.0), now),
        };
    }
    index
}

/// Returns the bucket that a key begins with. What the key has used may be a part of what has been used of the overflow bucket.
fn first_bucket(overflow: &Bucket, limits: &[Limit], limit: usize, now: u64) -> Bucket {
    let mut bucket = Bucket::default();
    if let (Some(first), Some(own)) = (limits.first(), limits.get(limit))
        // Requests in progress are given back to the bucket that they were taken from.
        && first.algorithm() != Algorithm::Concurrency
        && !first.is_idle(overflow, now)
    {
        if limit == 0 {
            bucket = *overflow;
        } else {
            own.exhaust(&mut bucket, now);
        }
    }
    bucket
}

fn limit_of(key: u64) -> usize {
    usize::from(key as u8)
}
