//! [`Engine`]: checks a request against all rules.

use std::cell::{Cell, RefCell};

use plugin_matching::Request;

use crate::config::{Cost, Scope};
use crate::key::KeyHasher;
use crate::limit::Quota;
use crate::rule::Rule;
use crate::set::{Decision, Key, Operation};
use crate::shared::{Shared, Store};
use crate::table::Table;

/// All rules, with their buckets.
#[derive(Debug)]
pub struct Engine<S> {
    rules: Vec<Counted<S>>,
    /// Whether what a request takes may have to be given back or charged later. That of a single rule does not, unless it ends with the
    /// stream.
    may_give_back: bool,
    /// What the current request has taken. Kept, so that a request allocates nothing.
    taken: RefCell<Vec<Taken>>,
    failed: Cell<bool>,
}

/// A rule with its buckets.
#[derive(Debug)]
struct Counted<S> {
    rule: Rule,
    /// Begins each of its keys.
    key: KeyHasher,
    buckets: RefCell<Buckets<S>>,
}

#[derive(Debug)]
enum Buckets<S> {
    Worker(Table),
    Proxy(Shared<S>),
}

/// What a request has taken from a bucket.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    rule: usize,
    key: Key,
    at: u64,
    cost: u32,
    overflow: bool,
}

/// What happened to a request at a rule, for its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The rule was checked.
    Enabled,
    /// The request was within the limit.
    Ok,
    /// The request was within the limit, which is near.
    NearLimit,
    /// The request was over the limit.
    RateLimited,
    /// The request was rejected.
    Enforced,
}

/// The outcome of a check.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rule that rejects the request, and how long it takes until it would pass, in nanoseconds.
    pub rejected: Option<(usize, u64)>,
    /// Whether a rule limits the request and does not reject it.
    pub is_not_enforced: bool,
    /// Whether the limit of a rule is near.
    pub is_near: bool,
    /// What has to be settled when the stream ends.
    pub held: Vec<Taken>,
    /// What is left of each rule that has been checked, if [`Engine::check`] was asked for it.
    pub states: Vec<State>,
}

/// The state of a rule after a check.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The rule, as an index.
    pub rule: usize,
    /// Its limit, as an index.
    pub limit: usize,
    /// What is left.
    pub quota: Quota,
}

impl<S: Store> Engine<S> {
    /// Creates an engine. `shared` is called once for each rule with the scope `proxy`. It returns the shared data and the prefix of the
    /// rule's keys there. `seed` is unknown to clients.
    pub fn new(
        rules: Vec<Rule>,
        seed: u64,
        mut shared: impl FnMut(&Rule) -> (S, String),
    ) -> Result<Self, S::Error> {
        let mut counted = Vec::with_capacity(rules.len());
        for rule in rules {
            let (seed, buckets) = match rule.scope {
                Scope::Worker => (seed, Buckets::Worker(Table::new(rule.size))),
                Scope::Proxy => {
                    let (store, prefix) = shared(&rule);
                    let seed = Shared::seed(&store, &prefix, seed)?;
                    let shared = Shared::new(store, &prefix, rule.size, &rule.limits);
                    (seed, Buckets::Proxy(shared))
                }
            };
            counted.push(Counted {
                rule,
                key: KeyHasher::new(seed),
                buckets: RefCell::new(buckets),
            });
        }
        let may_give_back =
            counted.len() > 1 || counted.iter().any(|it| it.rule.ends_with_stream());
        Ok(Engine {
            rules: counted,
            may_give_back,
            taken: RefCell::default(),
            failed: Cell::new(false),
        })
    }

    /// Returns whether an operation with shared data has failed since this was last asked. The request was let through.
    pub fn has_failed(&self) -> bool {
        self.failed.replace(false)
    }

    /// Returns a rule.
    pub fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index).map(|counted| &counted.rule)
    }

    /// Checks a request. `states` tells whether the outcome has the states of the rules, and `count` gets the events.
    pub fn check(
        &self,
        request: &impl Request,
        now: u64,
        states: bool,
        count: impl Fn(usize, Event),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut all_taken = if self.may_give_back {
            self.taken.take()
        } else {
            Vec::new()
        };
        for (index, counted) in self.rules.iter().enumerate() {
            let rule = &counted.rule;
            if !rule.applies(request) || !rule.enabled.chooses() {
                continue;
            }
            count(index, Event::Enabled);
            let (key, cost) = (rule.key(request, counted.key), rule.cost(request));
            let Some(decision) = self.apply(counted, key, now, Operation::Take(cost)) else {
                count(index, Event::Ok);
                continue;
            };
            let limit = rule.limits.get(decision.limit);
            if states && let Some(limit) = limit {
                outcome.states.push(State {
                    rule: index,
                    limit: decision.limit,
                    quota: limit.quota(&decision.bucket, now, cost),
                });
            }
            if decision.passes {
                count(index, Event::Ok);
                if limit.is_some_and(|limit| limit.is_near(&decision.bucket, now)) {
                    outcome.is_near = true;
                    count(index, Event::NearLimit);
                }
                if self.may_give_back {
                    all_taken.push(Taken {
                        rule: index,
                        key,
                        at: now,
                        cost,
                        overflow: decision.overflow,
                    });
                }
                continue;
            }
            count(index, Event::RateLimited);
            if !rule.enforced.chooses() {
                outcome.is_not_enforced = true;
                continue;
            }
            count(index, Event::Enforced);
            let retry = limit.map_or(0, |limit| limit.quota(&decision.bucket, now, cost).retry);
            outcome.rejected = Some((index, retry));
            break;
        }
        if !self.may_give_back {
            return outcome;
        }
        for taken in all_taken.drain(..) {
            let Some(counted) = self.rules.get(taken.rule) else {
                continue;
            };
            if outcome.rejected.is_some() {
                // A client over one limit must not use up those that it shares with others.
                self.give_back(counted, taken, now);
            } else if counted.rule.ends_with_stream() {
                outcome.held.push(taken);
            }
        }
        self.taken.replace(all_taken);
        outcome
    }

    /// Settles what a stream holds, when it has ended.
    pub fn end(&self, held: &[Taken], now: u64, response_bytes: u64) {
        for taken in held {
            let Some(counted) = self.rules.get(taken.rule) else {
                continue;
            };
            match counted.rule.cost {
                Some(Cost::ResponseBytes(bytes)) => {
                    let cost = response_bytes.div_ceil(bytes.max(1).into());
                    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
                    if cost > 0 {
                        self.apply(counted, taken.key, now, Operation::Charge(cost));
                    }
                }
                _ => self.give_back(counted, *taken, now),
            }
        }
    }

    fn give_back(&self, counted: &Counted<S>, taken: Taken, now: u64) {
        if taken.cost > 0 {
            let operation = Operation::GiveBack {
                cost: taken.cost,
                taken: taken.at,
                overflow: taken.overflow,
            };
            self.apply(counted, taken.key, now, operation);
        }
    }

    /// Returns `None` if the shared data has failed.
    fn apply(
        &self,
        counted: &Counted<S>,
        key: Key,
        now: u64,
        operation: Operation,
    ) -> Option<Decision> {
        let limits = &counted.rule.limits;
        match &mut *counted.buckets.borrow_mut() {
            Buckets::Worker(table) => table.apply(limits, key, now, operation),
            Buckets::Proxy(shared) => match shared.apply(limits, key, now, operation) {
                Ok(decision) => decision,
                Err(_) => {
                    self.failed.set(true);
                    None
                }
            },
        }
    }
}
