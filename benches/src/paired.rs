//! Operations of less than a microsecond, measured in turn, so that what slows the machine down for a while slows all of them down.

use std::time::Duration;

use crate::statistics::median;

/// How often the operation is repeated in each round, before the next one has its turn.
const BATCHES: usize = 300;

/// An operation, by what it is called. It is run some times in each call, and says how long one run took.
pub type Operation<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

/// Nanoseconds of each operation, in each round.
pub struct Rounds {
    names: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// Measures all operations in each of some rounds.
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

    /// The median of what `figure` makes of the times of a round, which it gets by name. Not a number if there is no such operation.
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
