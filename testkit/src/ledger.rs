//! Matches requests at the upstream with the steps that sent them.
//!
//! A marker in the request would not be reliable, because plugins see every field and can change or remove it. Instead,
//! the runner records when a request begins and ends, and the upstream records when one arrives. A proxy forwards a
//! request while its client waits, so an arriving request belongs to one of the requests in progress. If there are
//! several, it belongs to the one with the same method and path.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::transcript::Received;

/// The requests of one run, as sent by the client and as received by the upstream.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    asked: Vec<Asked>,
    received: Vec<Received>,
}

/// A request as sent by a client.
#[derive(Debug)]
struct Asked {
    step: usize,
    method: String,
    path: String,
    under_way: bool,
}

// === impl Ledger ===

impl Ledger {
    /// Records that a step is about to send a request.
    pub fn begin(&self, step: usize, method: &str, path: &str) {
        self.locked().asked.push(Asked {
            step,
            method: method.to_owned(),
            path: path.to_owned(),
            under_way: true,
        });
    }

    /// Records that the client of this step's request no longer waits.
    pub fn end(&self, step: usize) {
        for asked in &mut self.locked().asked {
            asked.under_way &= asked.step != step;
        }
    }

    /// Records that the head of a request has reached the upstream. Returns the number of the request.
    pub fn arrive(&self, mut received: Received) -> usize {
        let mut entries = self.locked();
        received.of = entries.step_of(&received);
        entries.received.push(received);
        entries.received.len() - 1
    }

    /// Records that the rest of a request has reached the upstream.
    pub fn complete(&self, number: usize, rest: impl FnOnce(&mut Received)) {
        if let Some(received) = self.locked().received.get_mut(number) {
            rest(received);
            received.complete = true;
        }
    }

    /// Returns the requests that have reached the upstream so far, in the order of the steps that they belong to,
    /// because concurrent requests can arrive in any order. Requests that belong to no step come last.
    pub fn received(&self) -> Vec<Received> {
        let mut received = self.locked().received.clone();
        received.sort_by_key(|received| received.of.unwrap_or(usize::MAX));
        received
    }

    fn locked(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entries ===

impl Entries {
    fn step_of(&self, received: &Received) -> Option<usize> {
        let like = |asked: &&Asked| asked.method == received.method && asked.path == received.path;
        let under_way = || self.asked.iter().filter(|asked| asked.under_way);
        let only = |mut asked: Vec<&Asked>| match asked.len() {
            1 => asked.pop().map(|asked| asked.step),
            _ => None,
        };
        if under_way().any(|asked| like(&asked)) {
            return only(under_way().filter(like).collect());
        }
        // One that its proxy handed on although the client had its answer, and that took its time.
        let late = self.asked.iter().filter(like);
        let late = late.filter(|asked| {
            self.received
                .iter()
                .all(|other| other.of != Some(asked.step))
        });
        late.map(|asked| asked.step)
            .next_back()
            // A plugin gave it another path, or another method.
            .or_else(|| only(under_way().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Received {
        Received {
            method: "GET".into(),
            path: path.into(),
            ..Received::default()
        }
    }

    fn steps(ledger: &Ledger) -> Vec<Option<usize>> {
        ledger
            .received()
            .iter()
            .map(|received| received.of)
            .collect()
    }

    #[test]
    fn request_belongs_to_the_only_step_in_progress() {
        let ledger = Ledger::default();
        ledger.begin(1, "GET", "/local");
        ledger.end(1);
        ledger.begin(2, "GET", "/rewritten");
        ledger.arrive(get("/other"));
        assert_eq!(steps(&ledger), [Some(2)]);
    }

    #[test]
    fn concurrent_requests_are_matched_by_path() {
        let ledger = Ledger::default();
        ledger.begin(1, "GET", "/hold");
        ledger.begin(3, "GET", "/release");
        ledger.arrive(get("/release"));
        ledger.arrive(get("/hold"));
        assert_eq!(steps(&ledger), [Some(1), Some(3)]);
        ledger.arrive(get("/other"));
        assert_eq!(steps(&ledger), [Some(1), Some(3), None], "of either");
    }

    #[test]
    fn late_request_belongs_to_its_ended_step() {
        let ledger = Ledger::default();
        ledger.begin(1, "GET", "/reset");
        ledger.end(1);
        ledger.begin(2, "GET", "/next");
        ledger.arrive(get("/reset"));
        ledger.arrive(get("/next"));
        assert_eq!(steps(&ledger), [Some(1), Some(2)]);
    }

    #[test]
    fn request_is_incomplete_until_its_rest_arrives() {
        let ledger = Ledger::default();
        let number = ledger.arrive(get("/"));
        assert!(!ledger.received()[0].complete);
        ledger.complete(number, |received| received.path.push('x'));
        let received = ledger.received();
        assert!(received[0].complete && received[0].path == "/x");
    }
}
