//! Eight workers and one store.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::thread;

use super::*;
use crate::limit::Algorithm;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
const WORKERS: u64 = 8;

/// Shared data as Envoy has it: versions increase, and a condition that names a version holds for an absent key too.
#[derive(Default)]
struct Memory {
    values: Mutex<HashMap<String, Stored>>,
    conflicts: AtomicU64,
}

impl Store for &Memory {
    type Error = ();

    fn get(&self, key: &str) -> Result<Option<Stored>, ()> {
        Ok(self.values.lock().expect("a lock").get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, ()> {
        // Another worker's turn, which makes conflicts likely.
        thread::yield_now();
        let mut values = self.values.lock().expect("a lock");
        let next = values
            .values()
            .map(|(_, version)| *version)
            .max()
            .unwrap_or(0)
            + 1;
        match values.get_mut(key) {
            Some((_, current)) if version != Some(*current) => {
                self.conflicts.fetch_add(1, SeqCst);
                Ok(false)
            }
            Some(stored) => {
                *stored = (value.to_vec(), next);
                Ok(true)
            }
            None => {
                values.insert(key.to_owned(), (value.to_vec(), next));
                Ok(true)
            }
        }
    }
}

fn limit(algorithm: Algorithm, count: u32, burst: u32) -> Limit {
    Limit::new(algorithm, count, SECOND, burst).expect("a good limit")
}

/// Runs a worker on each of eight threads and returns the sum of their results.
fn workers(work: impl Fn(u64) -> u64 + Sync) -> u64 {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn({
                    let work = &work;
                    move || work(worker)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a worker"))
            .sum()
    })
}

#[test]
fn eight_workers_admit_exactly_the_limit() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Concurrency,
    ] {
        let memory = Memory::default();
        let limits = [limit(algorithm, 100, 100)];
        let passed = workers(|_| {
            let mut shared = Shared::new(&memory, "test.", Size::for_keys(1), &limits);
            let key = Key::new(0, 0);
            let passes = |_: &u64| {
                let decision = shared.apply(&limits, key, START, Operation::Take(1));
                decision.expect("a store").expect("a decision").passes
            };
            (0..100).filter(passes).count() as u64
        });
        assert_eq!(passed, 100, "{algorithm:?}");
        assert_eq!(memory.values.lock().expect("a lock").len(), 1);
    }
}

/// The clock moves on while they work, and each reads it before it gets at the bucket.
#[test]
fn eight_workers_never_exceed_burst_plus_refill() {
    let memory = Memory::default();
    let limits = [limit(Algorithm::TokenBucket, 1000, 50)];
    let clock = AtomicU64::new(START);
    let passed = workers(|_| {
        let mut shared = Shared::new(&memory, "test.", Size::for_keys(1), &limits);
        let mut passed = 0;
        for _ in 0..300 {
            let now = clock.fetch_add(SECOND / 10_000, SeqCst);
            let decision = shared.apply(&limits, Key::new(0, 0), now, Operation::Take(1));
            passed += u64::from(decision.expect("a store").expect("a decision").passes);
        }
        passed
    });
    let came_in = (clock.load(SeqCst) - START) / (SECOND / 1000);
    assert!(passed <= 50 + came_in, "{passed} of {came_in}");
    assert!(passed >= came_in / 2, "{passed} of {came_in}");
}

#[test]
fn eight_workers_never_exceed_concurrency() {
    let memory = Memory::default();
    let limits = [limit(Algorithm::Concurrency, 3, 1)];
    let active = AtomicI64::new(0);
    let key = Key::new(0, 0);
    let passed = workers(|_| {
        let mut shared = Shared::new(&memory, "test.", Size::for_keys(1), &limits);
        let mut passed = 0;
        for _ in 0..200 {
            let decision = shared.apply(&limits, key, START, Operation::Take(1));
            let decision = decision.expect("a store").expect("a decision");
            if decision.passes {
                assert!(active.fetch_add(1, SeqCst) < 3);
                thread::yield_now();
                active.fetch_sub(1, SeqCst);
                let back = Operation::GiveBack {
                    cost: 1,
                    taken: START,
                    overflow: decision.overflow,
                };
                shared.apply(&limits, key, START, back).expect("a store");
                passed += 1;
            }
        }
        passed
    });
    assert!(passed > 0);
    let mut shared = Shared::new(&memory, "test.", Size::for_keys(1), &limits);
    for expected in [true, true, true, false] {
        let decision = shared.apply(&limits, key, START, Operation::Take(1));
        assert_eq!(
            decision.expect("a store").expect("a decision").passes,
            expected,
            "all were given back"
        );
    }
}

#[test]
fn workers_agree_on_a_seed() {
    let memory = Memory::default();
    let sum = workers(|worker| Shared::seed(&&memory, "test.", worker + 1).expect("a store"));
    assert_eq!(sum % WORKERS, 0, "each of them has the same");
}

#[test]
fn number_of_values_is_bounded() {
    let memory = Memory::default();
    let limits = [limit(Algorithm::TokenBucket, 1, 1)];
    let size = Size::for_keys(100);
    let mut shared = Shared::new(&memory, "test.", size, &limits);
    for number in 0..10_000 {
        let mut hasher = KeyHasher::new(1);
        hasher.word(number);
        let key = Key::new(hasher.finish(), 0);
        shared
            .apply(&limits, key, START, Operation::Take(1))
            .expect("a store");
    }
    assert_eq!(
        memory.values.lock().expect("a lock").len(),
        size.sets as usize
    );
}

#[test]
fn other_limits_begin_anew() {
    let memory = Memory::default();
    for count in [1, 2] {
        let limits = [limit(Algorithm::TokenBucket, count, 1)];
        let mut shared = Shared::new(&memory, "test.", Size::for_keys(1), &limits);
        for expected in [true, false] {
            let decision = shared.apply(&limits, Key::new(0, 0), START, Operation::Take(1));
            assert_eq!(
                decision.expect("a store").expect("a decision").passes,
                expected
            );
        }
    }
}

/// A store in which another worker always is faster.
struct Contended;

impl Store for Contended {
    type Error = ();

    fn get(&self, _: &str) -> Result<Option<Stored>, ()> {
        Ok(None)
    }

    fn set(&self, _: &str, _: &[u8], _: Option<u32>) -> Result<bool, ()> {
        Ok(false)
    }
}

#[test]
fn request_that_cannot_be_counted_is_refused() {
    let limits = [limit(Algorithm::TokenBucket, 1, 1)];
    let mut shared = Shared::new(Contended, "test.", Size::for_keys(1), &limits);
    let decision = shared.apply(&limits, Key::new(0, 0), START, Operation::Take(1));
    assert!(!decision.expect("a store").expect("a decision").passes);
}
