//! Runs scenarios in runtimes, several in parallel.
//!
//! The runner is in the library `tidegate-testkit`, which the tests of this repository use, too. This module provides its plugins
//! ([`plugins`]) and its Envoy ([`envoy`]), and converts its results to [`Outcome`]s.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use tidegate_testkit::source::Source;
use tidegate_testkit::{Owned, Runner, RuntimeKind, Scenario, Transcript, compare, verdict};

use tidegate_testkit::report::{AGREE, Finding, Outcome};

pub mod envoy;
pub mod plugins;

/// A runtime, and its name in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    pub kind: RuntimeKind,
    pub name: &'static str,
}

/// Everything that is needed to run scenarios.
pub struct Testing<'a> {
    pub runner: Runner,
    pub runtimes: &'a [Runtime],
    pub owned: Owned,
    /// Returns the reason why a scenario cannot run in a runtime, in addition to the scenario's own `not-in`.
    pub unfit: &'a (dyn Fn(&Scenario, RuntimeKind) -> Option<String> + Sync),
}

/// The outcomes of a scenario, with the transcript of each runtime that it ran in.
pub struct Tested {
    pub outcomes: Vec<Outcome>,
    pub seen: Vec<(&'static str, Transcript)>,
}

// === impl Testing ===

impl Testing<'_> {
    /// Runs scenarios, `jobs` in parallel. Calls `ended` with each outcome. The result is in the order of the scenarios.
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
                        // The receiver was dropped, so the results are no longer needed.
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

    /// Runs a scenario in each runtime, and compares the runtimes.
    fn scenario(&self, scenario: &Scenario) -> Tested {
        let mut outcomes = Vec::new();
        let mut seen: Vec<(&'static str, Transcript)> = Vec::new();
        for runtime in self.runtimes {
            let begun = Instant::now();
            let unfit = scenario
                .unfit(runtime.kind)
                .or_else(|| (self.unfit)(scenario, runtime.kind));
            let result = match unfit {
                Some(reason) => Finding::Skipped { reason },
                None => match self.runtime(scenario, runtime.kind) {
                    Ok(transcript) => {
                        let finding = held(scenario, &transcript);
                        seen.push((runtime.name, transcript));
                        finding
                    }
                    Err(error) => Finding::Error { error },
                },
            };
            outcomes.push(Outcome {
                scenario: scenario.name.clone(),
                file: scenario.file.clone(),
                runtime: runtime.name.to_owned(),
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
                    let found = compare::differences(&self.owned.of(scenario), left, right);
                    found
                        .into_iter()
                        .map(move |it| format!("{first} versus {other}: {it}"))
                })
                .collect();
            outcomes.push(Outcome {
                scenario: scenario.name.clone(),
                file: scenario.file.clone(),
                runtime: AGREE.to_owned(),
                took: begun.elapsed(),
                result: match differences.is_empty() {
                    true => Finding::Passed,
                    false => Finding::Differs { differences },
                },
            });
        }
        Tested { outcomes, seen }
    }

    /// Runs a scenario in one runtime. A panic of the runner fails only this scenario.
    fn runtime(&self, scenario: &Scenario, runtime: RuntimeKind) -> Result<Transcript, String> {
        match catch_unwind(AssertUnwindSafe(|| self.runner.run(scenario, runtime))) {
            Ok(ran) => ran.map_err(|error| format!("{error:#}")),
            Err(_) => Err("the runner panicked; please report it".to_owned()),
        }
    }
}

// === impl Tested ===

impl Tested {
    /// Checks the transcripts against the updated scenario.
    pub fn judge_again(&mut self, scenario: &Scenario) {
        for (runtime, transcript) in &self.seen {
            let of_runtime = self.outcomes.iter_mut().find(|it| it.runtime == *runtime);
            if let Some(outcome) = of_runtime {
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
            (position, mismatch)
        })
        .collect();
    Finding::Failed {
        mismatches,
        transcript: transcript.to_string(),
    }
}
