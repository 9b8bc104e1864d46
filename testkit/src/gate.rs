//! Lets steps wait for requests at a server, and holds the server's responses until a step releases them.

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
    /// The requests, in the order of arrival.
    requests: Vec<Arrived>,
}

/// A complete request.
#[derive(Debug)]
struct Arrived {
    path: String,
    /// Whether a step has waited for it.
    is_awaited: bool,
    /// Releases the response, if it is held.
    release: Option<oneshot::Sender<()>>,
}

// === impl Gate ===

impl Gate {
    /// Records that a complete request has arrived. If its response is to be held, returns a receiver that completes when
    /// the response is released. Dropping the receiver gives the response up.
    pub fn arrive(&self, path: &str, hold: bool) -> Option<oneshot::Receiver<()>> {
        let (release, released) = hold.then(oneshot::channel).unzip();
        self.locked().requests.push(Arrived {
            path: path.to_owned(),
            is_awaited: false,
            release,
        });
        self.changed.notify_all();
        released
    }

    /// Waits until a request has arrived that no step has waited for. With `path`, only requests for this path count.
    pub fn wait_for(&self, path: Option<&str>) -> Result<()> {
        self.wait("no request arrived", |state| {
            let mut requests = state.requests_for(path);
            let request = requests.find(|request| !request.is_awaited)?;
            request.is_awaited = true;
            Some(())
        })
    }

    /// Releases the response that has been held the longest, and waits until there is one. With `path`, only responses to
    /// requests for this path count.
    pub fn release(&self, path: Option<&str>) -> Result<()> {
        self.wait("no response was held", |state| {
            // Sending fails if the proxy has closed the connection in the meantime.
            let mut requests = state.requests_for(path);
            let released = requests.find_map(|request| {
                let sent = request.release.take()?.send(());
                sent.is_ok().then_some(request)
            })?;
            // Waiting for the response includes waiting for its request.
            released.is_awaited = true;
            Some(())
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

// === impl State ===

impl State {
    /// Returns the requests for a path, or all requests.
    fn requests_for(&mut self, path: Option<&str>) -> impl Iterator<Item = &mut Arrived> {
        let requests = self.requests.iter_mut();
        requests.filter(move |request| path.is_none_or(|path| request.path == path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_released_in_the_order_of_arrival() {
        let gate = Gate::default();
        assert!(gate.arrive("/", false).is_none());
        let mut first = gate.arrive("/", true).expect("a held response");
        let mut second = gate.arrive("/", true).expect("a held response");
        gate.release(None).expect("a release");
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        gate.release(None).expect("a release");
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn response_is_released_by_path() {
        let gate = Gate::default();
        let mut first = gate.arrive("/a", true).expect("a held response");
        let mut second = gate.arrive("/b", true).expect("a held response");
        gate.release(Some("/b")).expect("a release");
        assert!(first.try_recv().is_err() && second.try_recv().is_ok());
        gate.release(None).expect("a release");
        assert!(first.try_recv().is_ok());
    }

    #[test]
    fn abandoned_response_is_not_released() {
        let gate = Gate::default();
        drop(gate.arrive("/", true));
        let mut held = gate.arrive("/", true).expect("a held response");
        gate.release(None).expect("a release");
        assert!(held.try_recv().is_ok());
    }

    #[test]
    fn request_satisfies_one_step() {
        let gate = Gate::default();
        for path in ["/a", "/b", "/a"] {
            assert!(gate.arrive(path, false).is_none());
        }
        let _held = gate.arrive("/c", true).expect("a held response");
        gate.wait_for(Some("/b")).expect("the second request");
        gate.wait_for(None).expect("the first request");
        gate.wait_for(Some("/a")).expect("the third request");
        gate.release(Some("/c")).expect("the fourth request");
        let are_awaited = |request: &Arrived| request.is_awaited;
        assert!(gate.locked().requests.iter().all(are_awaited));
    }

    #[test]
    fn step_waits_for_a_request_on_another_thread() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            scope.spawn(|| gate.arrive("/", false));
            gate.wait_for(None).expect("a request");
            scope.spawn(|| {
                let held = gate.arrive("/held", true);
                held.map(oneshot::Receiver::blocking_recv)
            });
            gate.release(Some("/held")).expect("a release");
        });
    }
}
