//! Statistics of slices: minimum, median, and the median of paired differences.
//!
//! Throughput on a shared machine varies by a fifth from one second to the next, for all candidates alike. Slices are therefore taken in
//! rounds, one of each candidate, and differences are computed within a round before the median is taken.

use std::time::Duration;

/// The measurements of one candidate in one slice.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The number of responses.
    pub requests: u64,
    /// The duration.
    pub time: Duration,
    /// The processor time that the server used.
    pub cpu: Duration,
}

impl Slice {
    /// Returns the responses per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// Returns the server's processor time per request, in microseconds.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// Returns the minimum, or NaN if there are no values.
pub fn minimum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::NAN, f64::min)
}

/// Returns the median, or NaN if there are no values.
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

/// Returns the median over the rounds of the additional cost of a request compared with `base` in the same round.
pub fn overhead(slices: &[Slice], base: &[Slice]) -> f64 {
    median(
        slices
            .iter()
            .zip(base)
            .map(|(slice, base)| slice.cost() - base.cost()),
    )
}

/// Returns the median over the rounds of the cost of a request, as a multiple of that of `base` in the same round.
pub fn ratio(slices: &[Slice], base: &[Slice]) -> f64 {
    median(
        slices
            .iter()
            .zip(base)
            .map(|(slice, base)| slice.cost() / base.cost()),
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
    fn rounds_are_compared_in_pairs() {
        // Both are three times slower in the second round; the difference is the same.
        let base = [slice(100, 1000), slice(100, 3000), slice(100, 1000)];
        let more = [slice(100, 1200), slice(100, 3200), slice(100, 1200)];
        assert!((overhead(&more, &base) - 2.0).abs() < 1e-9);
        assert!((ratio(&more, &base) - 1.2).abs() < 1e-9);
    }
}
