//! [`Decisions`]: a cache of the service's decisions, which expire.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_guest::http_calls::Outcome;

use crate::Question;

/// The maximum number of decisions. If it is reached, all are forgotten. There has to be a limit, because clients choose the questions.
const MAX: usize = 10_000;

/// The maximum length of a question that is remembered, in bytes.
const MAX_LEN: usize = 4096;

/// Decisions by question, each with the time in nanoseconds until which it holds.
pub struct Decisions {
    by_question: HashMap<Question, (bool, u64)>,
    lifetime: u64,
}

/// Returns whether the service allows a request. `None` if it has not decided.
pub fn read(outcome: &Outcome) -> Option<bool> {
    let Outcome::Response(response) = outcome else {
        return None;
    };
    match response.status()? {
        200 => Some(true),
        401 | 403 => Some(false),
        _ => None,
    }
}

impl Decisions {
    pub fn new(lifetime: Duration) -> Self {
        Decisions {
            by_question: HashMap::new(),
            lifetime: u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether a request is allowed, if that has been decided.
    pub fn find(&self, question: &Question, now: u64) -> Option<bool> {
        let (is_allowed, until) = self.by_question.get(question)?;
        (now < *until).then_some(*is_allowed)
    }

    pub fn remember(&mut self, question: Question, is_allowed: bool, now: u64) {
        if question.iter().map(Vec::len).sum::<usize>() > MAX_LEN {
            return;
        }
        if self.by_question.len() >= MAX {
            self.by_question.clear();
        }
        let until = now.saturating_add(self.lifetime);
        self.by_question.insert(question, (is_allowed, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(path: &str) -> Question {
        ["Bearer x", "GET", path].map(|part| part.as_bytes().to_vec())
    }

    #[test]
    fn decision_holds_for_its_lifetime() {
        let mut decisions = Decisions::new(Duration::from_nanos(5));
        decisions.remember(question("/a"), true, 10);
        decisions.remember(question("/b"), false, 11);
        assert_eq!(decisions.find(&question("/a"), 14), Some(true));
        assert_eq!(decisions.find(&question("/a"), 15), None);
        assert_eq!(decisions.find(&question("/b"), 15), Some(false));
        assert_eq!(decisions.find(&question("/c"), 11), None);
    }

    #[test]
    fn number_of_decisions_is_limited() {
        let mut decisions = Decisions::new(Duration::from_secs(1));
        for number in 0..=MAX {
            decisions.remember(question(&number.to_string()), true, 0);
        }
        assert_eq!(decisions.by_question.len(), 1);
    }

    #[test]
    fn long_question_is_not_remembered() {
        let mut decisions = Decisions::new(Duration::from_secs(1));
        decisions.remember(question(&"a".repeat(MAX_LEN)), true, 0);
        assert!(decisions.by_question.is_empty());
    }
}
