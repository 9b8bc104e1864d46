//! Runs scenarios in homes, several at once.
//!
//! The runner itself is the library `tidegate-testkit`, which this project's own tests use too. Here it gets its plugins
//! ([`plugins`]) and its Envoy ([`envoy`]), and its results become [`Outcome`]s.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use tidegate_testkit::source::Source;
use tidegate_testkit::{HomeKind, Owned, Runner, Scenario, Transcript, compare, verdict};

use crate::report::{AGREE, Finding, Outcome};

pub mod envoy;
pub mod plugins;

/// A home to run in, and what it is called here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    pub kind: HomeKind,
    pub name: &'static str,
}

/// What scenarios are run with.
pub struct Testing<'a> {
    pub runner: Runner,
    pub homes: &'a [Home],
    pub owned: Owned,
    /// Why a scenario cannot be run in a home, beside what the scenario says itself.
    pub unfit: &'a (dyn Fn(&Scenario, HomeKind) -> Option<String> + Sync),
}

/// A scenario's outcomes, with what was seen in each home that it ran in.
pub struct Tested {
    pub outcomes: Vec<Outcome>,
    pub seen: Vec<(&'static str, Transcript)>,
}

// === impl Testing ===

impl Testing<'_> {
    /// Runs all of them, `jobs` at once. `ended` is told of each as it ends; what is returned is in the order of the scenarios.
    pub fn run(
        &self,
        scenarios: &[Scenario],
        jobs: usize,
        mut ended: impl FnMut(&Outcome),
    ) -> Vec<Tested> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let mut tested: Vec<Option<Tested>> = scenarios.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, scenarios.len().max(1)) {
                let (next, sender) = (&next, sender.clone());
                scope.spawn(move || {
                    while let Some((number, scenario)) = {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        scenarios.get(number).map(|scenario| (number, scenario))
                    } {
                        // Whoever listened has gone: there is nobody to work for.
                        if sender.send((number, self.scenario(scenario))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (number, one) in receiver {
                one.outcomes.iter().for_each(&mut ended);
                if let Some(place) = tested.get_mut(number) {
                    *place = Some(one);
                }
            }
        });
        tested.into_iter().flatten().collect()
    }

    /// One scenario in each home, and the homes against each other.
    fn scenario(&self, scenario: &Scenario) -> Tested {
        let mut outcomes = Vec::new();
        let mut seen: Vec<(&'static str, Transcript)> = Vec::new();
        for home in self.homes {
            let begun = Instant::now();
            let unfit = scenario
                .unfit(home.kind)
                .or_else(|| (self.unfit)(scenario, home.kind));
            let result = match unfit {
                Some(reason) => Finding::Skipped { reason },
                None => match self.home(scenario, home.kind) {
                    Ok(transcript) => {
                        let finding = held(scenario, &transcript);
                        seen.push((home.name, transcript));
                        finding
                    }
                    Err(error) => Finding::Broken { error },
                },
            };
            outcomes.push(Outcome {
                scenario: scenario.name.clone(),
                file: scenario.file.clone(),
                home: home.name.to_owned(),
                took: begun.elapsed(),
                result,
            });
        }
        if let [(first, left), others @ ..] = &seen[..]
            && !others.is_empty()
        {
            let begun = Instant::now();
            let differences: Vec<String> = others
                .iter()
                .flat_map(|(other, right)| {
                    let found = compare::differences(&self.owned, left, right);
                    found
                        .into_iter()
                        .map(move |it| format!("{first} against {other}: {it}"))
                })
                .collect();
            outcomes.push(Outcome {
                scenario: scenario.name.clone(),
                file: scenario.file.clone(),
                home: AGREE.to_owned(),
                took: begun.elapsed(),
                result: match differences.is_empty() {
                    true => Finding::Passed,
                    false => Finding::Differs { differences },
                },
            });
        }
        Tested { outcomes, seen }
    }

    /// A run. A mistake of the runner's own ends this scenario, not the others.
    fn home(&self, scenario: &Scenario, home: HomeKind) -> Result<Transcript, String> {
        match catch_unwind(AssertUnwindSafe(|| self.runner.run(scenario, home))) {
            Ok(ran) => ran.map_err(|error| format!("{error:#}")),
            Err(_) => Err("the runner panicked; please report it".to_owned()),
        }
    }
}

// === impl Tested ===

impl Tested {
    /// Judges what was seen by what the scenario states now.
    pub fn judge_again(&mut self, scenario: &Scenario) {
        for (home, transcript) in &self.seen {
            let of_home = self.outcomes.iter_mut().find(|it| it.home == *home);
            if let Some(outcome) = of_home {
                outcome.result = held(scenario, transcript);
            }
        }
    }
}

fn held(scenario: &Scenario, transcript: &Transcript) -> Finding {
    let mismatches = verdict::mismatches(scenario, transcript);
    if mismatches.is_empty() {
        return Finding::Passed;
    }
    let text = std::fs::read_to_string(&scenario.file).unwrap_or_default();
    let source = Source::parse(&text);
    let mismatches = mismatches
        .into_iter()
        .map(|mismatch| {
            let position = source
                .as_ref()
                .map(|source| source.position(&mismatch.place));
            (position.map(|at| (at.line, at.column)), mismatch)
        })
        .collect();
    Finding::Failed {
        mismatches,
        transcript: transcript.to_string(),
    }
}
