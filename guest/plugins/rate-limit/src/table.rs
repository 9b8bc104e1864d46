//! [`Table`]: the buckets of a worker.

use crate::limit::Limit;
use crate::set::{self, Decision, Entry, Key, Operation, WAYS};

/// How many keys a table is for, and so how many sets it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of sets.
    pub sets: u32,
    /// The number of entries in a set, without the overflow bucket.
    pub ways: usize,
}

/// A table of a fixed size. An operation takes constant time, allocates nothing, and never moves entries.
#[derive(Debug)]
pub struct Table {
    size: Size,
    entries: Vec<Entry>,
}

impl Size {
    /// Returns the size for a number of keys. Keys are not spread evenly over the sets, so the table has 50 % more entries than keys.
    pub fn for_keys(keys: u32) -> Self {
        match usize::try_from(keys) {
            Ok(keys) if keys <= WAYS => Size {
                sets: 1,
                ways: keys.max(1),
            },
            _ => Size {
                sets: (keys / 2).saturating_mul(3).div_ceil(WAYS as u32),
                ways: WAYS,
            },
        }
    }

    /// Returns the memory that a table of this size takes, in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.sets) * (self.ways as u64 + 1) * size_of::<Entry>() as u64
    }
}

impl Table {
    /// Creates an empty table.
    pub fn new(size: Size) -> Self {
        let entries = (size.sets as usize).saturating_mul(size.ways + 1);
        Table {
            size,
            entries: vec![Entry::default(); entries],
        }
    }

    /// Does an operation with the bucket of a key.
    #[inline]
    pub fn apply(
        &mut self,
        limits: &[Limit],
        key: Key,
        now: u64,
        operation: Operation,
    ) -> Option<Decision> {
        let length = self.size.ways + 1;
        let start = key.set(self.size.sets) as usize * length;
        let set = self.entries.get_mut(start..start + length)?;
        set::apply(set, limits, key, now, operation)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;
    use crate::limit::{Algorithm, Bucket};

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_700_000_000 * SECOND;

    fn limit(algorithm: Algorithm, count: u32, burst: u32) -> Limit {
        Limit::new(algorithm, count, SECOND, burst).expect("a good limit")
    }

    fn key(number: u64) -> Key {
        let mut hasher = KeyHasher::new(7);
        hasher.word(number);
        Key::new(hasher.finish(), 0)
    }

    fn takes(table: &mut Table, limit: &Limit, number: u64, now: u64) -> Decision {
        let limits = std::slice::from_ref(limit);
        table
            .apply(limits, key(number), now, Operation::Take(1))
            .expect("a decision")
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::for_keys(0), Size { sets: 1, ways: 1 });
        assert_eq!(Size::for_keys(16), Size { sets: 1, ways: 16 });
        assert_eq!(Size::for_keys(8192).sets, 768);
        assert!(Size::for_keys(1_000_000).bytes() < 40 << 20);
        assert!(Size::for_keys(u32::MAX).sets > 1);
    }

    #[test]
    fn full_table_keeps_its_keys_and_others_share_a_bucket() {
        let limit = limit(Algorithm::TokenBucket, 1, 2);
        let mut table = Table::new(Size::for_keys(4));
        for number in 0..4 {
            assert!(takes(&mut table, &limit, number, START).passes);
        }
        let others: Vec<Decision> = (4..8)
            .map(|number| takes(&mut table, &limit, number, START))
            .collect();
        assert!(others.iter().all(|decision| decision.overflow));
        let passed = others.iter().filter(|decision| decision.passes).count();
        assert_eq!(passed, 2, "all others together get one burst");
        for number in 0..4 {
            assert!(takes(&mut table, &limit, number, START).passes);
            assert!(!takes(&mut table, &limit, number, START).passes);
        }
    }

    #[test]
    fn almost_all_of_the_configured_keys_get_a_bucket_of_their_own() {
        let limit = limit(Algorithm::TokenBucket, 1, 2);
        let keys = 100_000;
        let mut table = Table::new(Size::for_keys(keys));
        let overflows = (0..keys.into())
            .filter(|number| takes(&mut table, &limit, *number, START).overflow)
            .count();
        assert!(overflows < 1000, "{overflows}");
    }

    #[test]
    fn leases_are_given_back_to_the_bucket_that_they_were_taken_from() {
        let limit = limit(Algorithm::Concurrency, 1, 1);
        let limits = std::slice::from_ref(&limit);
        let mut table = Table::new(Size::for_keys(1));
        assert!(takes(&mut table, &limit, 0, START).passes);
        let shared = takes(&mut table, &limit, 1, START);
        assert!(shared.passes && shared.overflow);
        assert!(!takes(&mut table, &limit, 2, START).passes);
        for (number, overflow) in [(0, false), (1, true)] {
            let back = Operation::GiveBack {
                cost: 1,
                taken: START,
                overflow,
            };
            table.apply(limits, key(number), START, back);
        }
        assert_eq!(table.entries.last().map(|entry| entry.bucket.used), Some(0));
        assert!(!takes(&mut table, &limit, 2, START).overflow);
    }

    #[test]
    fn keys_with_other_limits_do_not_gain_by_the_overflow_bucket() {
        let limits = [
            limit(Algorithm::TokenBucket, 1, 1),
            limit(Algorithm::TokenBucket, 7, 5),
        ];
        let mut table = Table::new(Size::for_keys(1));
        let mut take = |number: u64, limit, now| {
            let mut hasher = KeyHasher::new(7);
            hasher.word(number);
            let key = Key::new(hasher.finish(), limit);
            table
                .apply(&limits, key, now, Operation::Take(1))
                .expect("a decision")
        };
        assert!(take(1, 1, START).passes);
        assert!(take(2, 1, START + SECOND / 10).overflow);
        // The entry of the first key is idle, the overflow bucket is not.
        let decision = take(2, 1, START + SECOND / 2);
        assert!(!decision.overflow && !decision.passes);
    }

    proptest! {
        /// However the table is flooded with other keys, no key passes more often than with a bucket of its own, in any time.
        #[test]
        fn eviction_never_refills(
            size in 1u32..6, count in 1u32..4, burst in 1u32..4,
            requests in prop::collection::vec((0u64..12, 0..SECOND), 1..300),
        ) {
            let limit = limit(Algorithm::TokenBucket, count, burst);
            let mut table = Table::new(Size::for_keys(size));
            let mut passed: HashMap<u64, Vec<u64>> = HashMap::new();
            let mut now = START;
            for (number, gap) in requests {
                now += gap / 4;
                if takes(&mut table, &limit, number, now).passes {
                    passed.entry(number).or_default().push(now);
                }
            }
            for times in passed.values() {
                for (first, begin) in times.iter().enumerate() {
                    for (last, end) in times.iter().enumerate().skip(first) {
                        let came_in = u128::from(end - begin) * u128::from(count) / u128::from(SECOND);
                        prop_assert!((last - first + 1) as u128 <= u128::from(burst) + came_in);
                    }
                }
            }
        }

        /// A table with room for all keys decides as if each had a bucket of its own.
        #[test]
        fn table_with_room_is_exact(requests in prop::collection::vec((0u64..16, 0..SECOND), 1..300)) {
            for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
                let limit = limit(algorithm, 2, 3);
                let mut table = Table::new(Size::for_keys(16));
                let mut own: HashMap<u64, Bucket> = HashMap::new();
                let mut now = START;
                for (number, gap) in &requests {
                    now += gap / 4;
                    let expected = limit.take(own.entry(*number).or_default(), now, 1);
                    prop_assert_eq!(takes(&mut table, &limit, *number, now).passes, expected);
                }
            }
        }
    }
}
