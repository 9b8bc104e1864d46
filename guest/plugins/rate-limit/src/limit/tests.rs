//! The bounds that `Limit` guarantees, on a simulated clock.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
const WINDOWS: [Algorithm; 2] = [Algorithm::FixedWindow, Algorithm::SlidingWindow];

fn limit(algorithm: Algorithm, count: u32, burst: u32) -> Limit {
    Limit::new(algorithm, count, SECOND, burst).expect("a good limit")
}

/// How many of `requests` at `now` pass.
fn passing(limit: &Limit, bucket: &mut Bucket, requests: usize, now: u64) -> usize {
    (0..requests).filter(|_| limit.take(bucket, now, 1)).count()
}

#[test]
fn bucket_allows_its_burst_then_its_rate() {
    let (limit, mut bucket) = (limit(Algorithm::TokenBucket, 2, 5), Bucket::default());
    assert_eq!(passing(&limit, &mut bucket, 10, START), 5);
    assert_eq!(
        passing(&limit, &mut bucket, 10, START + SECOND / 2 - 1),
        0,
        "half a second makes one token, not less"
    );
    assert_eq!(passing(&limit, &mut bucket, 10, START + SECOND / 2), 1);
    assert_eq!(passing(&limit, &mut bucket, 10, START + 2 * SECOND), 3);
    assert_eq!(
        passing(&limit, &mut bucket, 10, START + 3600 * SECOND),
        5,
        "no more than the burst is saved up"
    );
}

#[test]
fn bucket_does_not_lose_fractional_tokens() {
    let (limit, mut bucket) = (limit(Algorithm::TokenBucket, 3, 1), Bucket::default());
    let passed = (0..3 * SECOND)
        .step_by(1_000_000)
        .filter(|now| limit.take(&mut bucket, START + now, 1))
        .count();
    assert_eq!(
        passed, 9,
        "one at once, and one for each third of a second that is over"
    );
}

#[test]
fn fixed_window_begins_with_its_first_request() {
    let (limit, mut bucket) = (limit(Algorithm::FixedWindow, 2, 1), Bucket::default());
    assert_eq!(passing(&limit, &mut bucket, 3, START), 2);
    assert_eq!(passing(&limit, &mut bucket, 3, START + SECOND - 1), 0);
    assert_eq!(passing(&limit, &mut bucket, 3, START + SECOND), 2);
    assert_eq!(
        passing(&limit, &mut bucket, 3, START + 10 * SECOND),
        2,
        "what was not used is not saved up"
    );
}

#[test]
fn sliding_window_counts_the_window_before_in_part() {
    let (limit, mut bucket) = (limit(Algorithm::SlidingWindow, 10, 1), Bucket::default());
    assert_eq!(passing(&limit, &mut bucket, 20, START), 10);
    assert_eq!(passing(&limit, &mut bucket, 20, START + SECOND), 0);
    // Half of the window before still counts.
    assert_eq!(
        passing(&limit, &mut bucket, 20, START + SECOND + SECOND / 2),
        4,
        "rounded up"
    );
    assert_eq!(passing(&limit, &mut bucket, 20, START + 10 * SECOND), 10);
}

#[test]
fn leases_end_when_they_are_given_back_or_expire() {
    let (limit, mut bucket) = (limit(Algorithm::Concurrency, 2, 1), Bucket::default());
    assert_eq!(passing(&limit, &mut bucket, 3, START), 2);
    limit.give_back(&mut bucket, START, 1);
    assert_eq!(passing(&limit, &mut bucket, 3, START + 1), 1);
    // A lease that is not given back is counted for one interval at least, and for two at most.
    assert_eq!(passing(&limit, &mut bucket, 3, START + SECOND), 0);
    assert_eq!(passing(&limit, &mut bucket, 3, START + 2 * SECOND), 2);
    // Giving back what has expired has no effect.
    limit.give_back(&mut bucket, START, 1);
    assert_eq!(passing(&limit, &mut bucket, 3, START + 2 * SECOND), 0);
}

#[test]
fn backward_clock_does_not_block_requests() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
    ] {
        let (limit, mut bucket) = (limit(algorithm, 2, 2), Bucket::default());
        assert_eq!(passing(&limit, &mut bucket, 3, START), 2);
        let passed = passing(&limit, &mut bucket, 3, START - 3600 * SECOND);
        let later = passing(&limit, &mut bucket, 3, START - 3598 * SECOND);
        assert!(passed + later >= 2, "{algorithm:?}");
    }
}

/// Workers read the clock before they get at a shared bucket, and so in another order.
#[test]
fn times_out_of_order_admit_no_more() {
    let (limit, mut bucket) = (limit(Algorithm::TokenBucket, 10, 10), Bucket::default());
    let mut passed = 0;
    for step in 0..1000 {
        let now = START + step * SECOND / 1000;
        passed += passing(&limit, &mut bucket, 10, now);
        passed += passing(&limit, &mut bucket, 10, now - SECOND / 2);
    }
    assert_eq!(
        passed,
        10 + 9,
        "the burst, and what came in during a second"
    );
}

#[test]
fn extreme_values_do_not_overflow() {
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Concurrency,
    ] {
        for interval in [1, SECOND, u64::MAX] {
            let Some(limit) = Limit::new(algorithm, u32::MAX, interval, 1) else {
                continue;
            };
            let mut bucket = Bucket::default();
            for now in [0, u64::MAX, 1, u64::MAX] {
                for cost in [0, 1, u32::MAX] {
                    limit.take(&mut bucket, now, cost);
                    limit.charge(&mut bucket, now, cost);
                    limit.quota(&bucket, now, cost);
                    limit.is_idle(&bucket, now);
                    limit.is_near(&bucket, now);
                    limit.give_back(&mut bucket, now, cost / 2);
                }
            }
        }
    }
    assert_eq!(Limit::new(Algorithm::TokenBucket, 1, u64::MAX, 2), None);
    assert_eq!(Limit::new(Algorithm::TokenBucket, 0, 1, 1), None);
}

#[test]
fn charges_can_exceed_the_quota_and_have_to_be_paid_back() {
    let (limit, mut bucket) = (limit(Algorithm::TokenBucket, 10, 10), Bucket::default());
    assert!(limit.take(&mut bucket, START, 0), "nothing is taken yet");
    limit.charge(&mut bucket, START, 30);
    assert!(!limit.take(&mut bucket, START + 2 * SECOND, 0));
    assert!(limit.take(&mut bucket, START + 2 * SECOND + SECOND / 10, 0));
}

#[test]
fn quota_of_a_bucket() {
    let (limit, mut bucket) = (limit(Algorithm::TokenBucket, 2, 4), Bucket::default());
    let fresh = Quota {
        remaining: 4,
        reset: 0,
        retry: 0,
    };
    assert_eq!(limit.quota(&bucket, START, 1), fresh);
    assert!(!limit.is_near(&bucket, START));
    passing(&limit, &mut bucket, 4, START);
    assert!(limit.is_near(&bucket, START));
    let empty = Quota {
        remaining: 0,
        reset: 2 * SECOND,
        retry: SECOND / 2,
    };
    assert_eq!(limit.quota(&bucket, START, 1), empty);
    assert_eq!(limit.quota(&bucket, START + SECOND, 3).retry, SECOND / 2);
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
    fn bucket_never_exceeds_burst_plus_refill(count in 1u32..50, burst in 1u32..50, gaps in gaps()) {
        let (limit, mut bucket) = (limit(Algorithm::TokenBucket, count, burst), Bucket::default());
        let mut now = START;
        let mut passed = Vec::new();
        for gap in gaps {
            now += gap;
            if limit.take(&mut bucket, now, 1) {
                passed.push(now);
            }
        }
        for (first, begin) in passed.iter().enumerate() {
            for (last, end) in passed.iter().enumerate().skip(first) {
                let came_in = u128::from(end - begin) * u128::from(count) / u128::from(SECOND);
                prop_assert!((last - first + 1) as u128 <= u128::from(burst) + came_in);
            }
        }
    }

    /// A client that keeps to the rate is never refused.
    #[test]
    fn bucket_never_limits_a_client_within_its_rate(count in 1u32..1000, burst in 1u32..10, requests in 1u64..500) {
        let (limit, mut bucket) = (limit(Algorithm::TokenBucket, count, burst), Bucket::default());
        let spacing = SECOND.div_ceil(u64::from(count));
        for request in 0..requests {
            prop_assert!(limit.take(&mut bucket, START + request * spacing, 1), "request {}", request);
        }
    }

    /// A window never allows more than twice its count in any time as long as itself, and a fixed one exactly its count in each.
    #[test]
    fn windows_keep_their_bounds(count in 1u32..20, gaps in gaps()) {
        for algorithm in WINDOWS {
            let (limit, mut bucket) = (limit(algorithm, count, 1), Bucket::default());
            let (mut now, mut began, mut came) = (START, None::<u64>, 0);
            let mut passed = Vec::new();
            for gap in &gaps {
                now += gap;
                if began.is_none_or(|began| now - began >= SECOND) {
                    (began, came) = (Some(now), 0);
                }
                came += 1;
                let passes = limit.take(&mut bucket, now, 1);
                if algorithm == Algorithm::FixedWindow {
                    prop_assert_eq!(passes, came <= count);
                }
                if passes {
                    passed.push(now);
                }
                prop_assert!(limit.counted(&bucket, now) <= count.into());
            }
            for (first, begin) in passed.iter().enumerate() {
                let within = passed.iter().skip(first).take_while(|time| *time - begin < SECOND).count();
                prop_assert!(within <= 2 * count as usize, "{:?}", algorithm);
            }
        }
    }

    /// After the time that `retry` gives, the request passes, and a nanosecond before it does not. A sliding window rounds.
    #[test]
    fn retry_is_when_a_request_passes(count in 1u32..50, burst in 1u32..50, cost in 1u32..3, gaps in gaps()) {
        for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
            let (limit, mut bucket) = (limit(algorithm, count, burst), Bucket::default());
            if cost > limit.most() {
                continue;
            }
            let mut now = START;
            for gap in &gaps {
                now += gap;
                let quota = limit.quota(&bucket, now, cost);
                let at = |time| limit.take(&mut bucket.clone(), time, cost);
                prop_assert_eq!(quota.retry == 0, at(now));
                let slack = if algorithm == Algorithm::SlidingWindow { SECOND / 1_000_000 } else { 0 };
                prop_assert!(at(now + quota.retry + slack), "{:?} {:?}", algorithm, quota);
                if quota.retry > 2 * slack {
                    prop_assert!(!at(now + quota.retry - 1 - 2 * slack), "{:?} {:?}", algorithm, quota);
                }
                prop_assert_eq!(limit.is_idle(&bucket, now), quota.reset == 0);
                prop_assert!(limit.is_idle(&bucket, now + quota.reset));
                limit.take(&mut bucket, now, cost);
            }
        }
    }

    /// Giving back undoes taking.
    #[test]
    fn give_back_undoes_take(count in 1u32..50, burst in 1u32..50, cost in 1u32..5, gaps in gaps()) {
        for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::Concurrency] {
            let (limit, mut bucket) = (limit(algorithm, count, burst), Bucket::default());
            let mut now = START;
            for gap in &gaps {
                now += gap;
                limit.take(&mut bucket, now, 1);
                let before = bucket;
                if limit.take(&mut bucket, now, cost) {
                    limit.give_back(&mut bucket, now, cost);
                }
                prop_assert_eq!(bucket, before);
            }
        }
    }
}
