//! Measures operations of less than a microsecond in alternation, so that a temporary slowdown of the machine affects all of them.

use std::time::Duration;

use crate::statistics::median;

/// How often an operation is called in each round before the next operation.
const BATCHES: usize = 300;

/// An operation and its name. A call runs it several times and returns the duration of one run.
pub type Operation<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

/// The durations of each operation in nanoseconds, one per round.
pub struct Rounds {
    names: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// Measures all operations in each of the given number of rounds.
    pub fn measure(mut operations: Vec<Operation<'_>>, rounds: usize) -> Rounds {
        let names = operations.iter().map(|(name, _)| *name).collect();
        let round = |_| {
            let times = operations
                .iter_mut()
                .map(|(_, operation)| median((0..BATCHES).map(|_| operation().as_nanos() as f64)));
            times.collect()
        };
        Rounds {
            names,
            rounds: (0..rounds).map(round).collect(),
        }
    }

    /// Returns the median over the rounds of `figure`, a function of the durations in a round by name. NaN if there is no such operation.
    pub fn median(&self, figure: impl Fn(&dyn Fn(&str) -> f64) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| {
            figure(&|name| {
                let index = self.names.iter().position(|known| *known == name);
                let time = index.and_then(|index| round.get(index));
                time.copied().unwrap_or(f64::NAN)
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rounds = Rounds {
            names: vec!["a", "b"],
            rounds: vec![vec![10.0, 5.0], vec![40.0, 20.0], vec![300.0, 100.0]],
        };
        assert_eq!(rounds.median(|time| time("a") / time("b")), 2.0);
        assert_eq!(rounds.median(|time| time("a")), 40.0);
        assert!(rounds.median(|time| time("c")).is_nan());
    }

    #[test]
    fn every_operation_runs_in_every_round() {
        let mut calls = 0;
        let count = || {
            calls += 1;
            Duration::from_nanos(7)
        };
        let rounds = Rounds::measure(vec![("count", Box::new(count))], 3);
        assert_eq!(rounds.median(|time| time("count")), 7.0);
        drop(rounds);
        assert_eq!(calls, 3 * BATCHES);
    }
}
