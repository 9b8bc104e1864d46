//! Which request at upstream belongs to which step.
//!
//! Nothing that a client could put into a request tells it: plugins see every field, and may change or drop it. So the runner
//! writes down when a request begins and ends, and the upstream when one arrives. A proxy hands on a request while its client
//! waits, so the request that arrives belongs to one that is under way; among several the one whose method and path it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::transcript::Received;

/// The requests of one run, at both ends.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    asked: Vec<Asked>,
    received: Vec<Received>,
}

/// A request as a client sends it.
#[derive(Debug)]
struct Asked {
    step: usize,
    method: String,
    path: String,
    under_way: bool,
}

// === impl Ledger ===

impl Ledger {
    /// A step is about to send a request.
    pub fn begin(&self, step: usize, method: &str, path: &str) {
        self.locked().asked.push(Asked {
            step,
            method: method.to_owned(),
            path: path.to_owned(),
            under_way: true,
        });
    }

    /// The client of this step's request waits no longer.
    pub fn end(&self, step: usize) {
        for asked in &mut self.locked().asked {
            asked.under_way &= asked.step != step;
        }
    }

    /// The head of a request has reached upstream; tells its number.
    pub fn arrive(&self, mut received: Received) -> usize {
        let mut entries = self.locked();
        received.of = entries.step_of(&received);
        entries.received.push(received);
        entries.received.len() - 1
    }

    /// The rest of a request has reached upstream.
    pub fn complete(&self, number: usize, rest: impl FnOnce(&mut Received)) {
        if let Some(received) = self.locked().received.get_mut(number) {
            rest(received);
            received.complete = true;
        }
    }

    /// What has reached upstream so far: in the order of the steps that it belongs to, since two requests under way at once
    /// arrive in any; what belongs to none at the end.
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
    fn request_belongs_to_the_one_under_way() {
        let ledger = Ledger::default();
        ledger.begin(1, "GET", "/local");
        ledger.end(1);
        ledger.begin(2, "GET", "/rewritten");
        ledger.arrive(get("/other"));
        assert_eq!(steps(&ledger), [Some(2)]);
    }

    #[test]
    fn request_belongs_to_its_like_among_several() {
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
    fn late_request_belongs_to_a_step_that_has_ended() {
        let ledger = Ledger::default();
        ledger.begin(1, "GET", "/reset");
        ledger.end(1);
        ledger.begin(2, "GET", "/next");
        ledger.arrive(get("/reset"));
        ledger.arrive(get("/next"));
        assert_eq!(steps(&ledger), [Some(1), Some(2)]);
    }

    #[test]
    fn request_is_complete_when_its_rest_has_come() {
        let ledger = Ledger::default();
        let number = ledger.arrive(get("/"));
        assert!(!ledger.received()[0].complete);
        ledger.complete(number, |received| received.path.push('x'));
        let received = ledger.received();
        assert!(received[0].complete && received[0].path == "/x");
    }
}
