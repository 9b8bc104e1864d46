//! Lets steps wait for requests at a server, and holds the server's responses until a step releases them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::sync::oneshot;

use crate::logbook::STEP;

/// The requests at one server.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrived: usize,
    held: VecDeque<Held>,
}

/// A held response.
#[derive(Debug)]
struct Held {
    /// The number of its request.
    number: usize,
    release: oneshot::Sender<()>,
}

// === impl Gate ===

impl Gate {
    /// Records that a complete request has arrived. If its response is to be held, returns a receiver that completes when
    /// the response is released. Dropping the receiver gives the response up.
    pub fn arrive(&self, hold: bool) -> Option<oneshot::Receiver<()>> {
        let mut state = self.locked();
        state.arrived += 1;
        let released = hold.then(|| {
            let (release, released) = oneshot::channel();
            let number = state.arrived;
            state.held.push_back(Held { number, release });
            released
        });
        drop(state);
        self.changed.notify_all();
        released
    }

    /// Waits until at least `count` requests have arrived.
    pub fn wait_for(&self, count: usize) -> Result<()> {
        self.wait("no request arrived", |state| {
            (state.arrived >= count).then_some(())
        })
    }

    /// Releases the response that has been held the longest, and waits until there is one. Returns the number of its
    /// request: requests are counted from 1, in the order of arrival.
    pub fn release(&self) -> Result<usize> {
        self.wait("no response was held", |state| {
            // Sending fails if the proxy has closed the connection in the meantime.
            std::iter::from_fn(|| state.held.pop_front())
                .find_map(|held| held.release.send(()).ok().map(|()| held.number))
        })
    }

    fn wait<T>(&self, missing: &str, mut of: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + STEP;
        let mut state = self.locked();
        loop {
            if let Some(reached) = of(&mut state) {
                return Ok(reached);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{missing} within {STEP:?}");
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_released_in_the_order_of_arrival() {
        let gate = Gate::default();
        assert!(gate.arrive(false).is_none());
        let mut first = gate.arrive(true).expect("a held response");
        let mut second = gate.arrive(true).expect("a held response");
        assert_eq!(gate.release().expect("a release"), 2);
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        assert_eq!(gate.release().expect("a release"), 3);
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn abandoned_response_is_not_released() {
        let gate = Gate::default();
        drop(gate.arrive(true));
        let mut held = gate.arrive(true).expect("a held response");
        assert_eq!(gate.release().expect("a release"), 2);
        assert!(held.try_recv().is_ok());
    }

    #[test]
    fn step_waits_for_a_request_on_another_thread() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            scope.spawn(|| gate.arrive(false));
            gate.wait_for(1).expect("a request");
            scope.spawn(|| gate.arrive(true).map(oneshot::Receiver::blocking_recv));
            assert_eq!(gate.release().expect("a release"), 2);
        });
    }
}
