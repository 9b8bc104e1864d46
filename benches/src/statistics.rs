//! What is made of the slices: minimum, median, and the median of paired differences.
//!
//! Throughput on a shared machine swings by a fifth from one second to the next, and all candidates swing with it. So
//! slices are taken in rounds, one of each candidate, and differences are taken within a round before a median is.

use std::time::Duration;

/// One candidate in one slice.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Requests that were answered.
    pub requests: u64,
    /// How long that took.
    pub time: Duration,
    /// Processor time that the server used meanwhile.
    pub cpu: Duration,
}

impl Slice {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// Microseconds of the server's processor time for each request.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// The least value; not a number where there is none.
pub fn minimum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::NAN, f64::min)
}

/// The middle value, or the mean of the two in the middle; not a number where there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => match (sorted.get(half.wrapping_sub(1)), sorted.get(half)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => f64::NAN,
        },
        _ => sorted.get(half).copied().unwrap_or(f64::NAN),
    }
}

/// Median over the rounds of what each request cost more than it cost `base` in the same round.
pub fn overhead(slices: &[Slice], base: &[Slice]) -> f64 {
    median(
        slices
            .iter()
            .zip(base)
            .map(|(slice, base)| slice.cost() - base.cost()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(requests: u64, cpu: u64) -> Slice {
        Slice {
            requests,
            time: Duration::from_secs(1),
            cpu: Duration::from_micros(cpu),
        }
    }

    #[test]
    fn median_handles_odd_even_and_empty_input() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
        assert_eq!(minimum([3.0, 1.0, 2.0]), 1.0);
    }

    #[test]
    fn overhead_is_the_median_of_paired_differences() {
        // Both slow down threefold in the second round; the difference stays.
        let base = [slice(100, 1000), slice(100, 3000), slice(100, 1000)];
        let more = [slice(100, 1200), slice(100, 3200), slice(100, 1200)];
        assert!((overhead(&more, &base) - 2.0).abs() < 1e-9);
    }
}
