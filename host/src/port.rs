//! What an instance requests of its worker besides streams: HTTP calls, timers and the events of queues.
//!
//! Hostcalls queue requests in an [`Outbox`]. When the callback has returned, `vm` passes them to the worker's [`Port`], and later
//! passes the outcomes back to the guest. Nothing runs in between, so an outcome never arrives while a guest runs. Whatever is
//! pending belongs to one instance, and is cancelled with it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;

use crate::fields::Fields;

/// The worker, from the point of view of an instance.
pub(crate) trait Port {
    /// Sends a request. `done` is called once, from the worker's event loop, unless the call is cancelled.
    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending;

    /// Calls `fire` once at a time of [`Clock::monotonic`](crate::Clock::monotonic), from the worker's event loop, unless it is cancelled.
    fn schedule(&self, at: u64, fire: Box<dyn FnOnce()>) -> Pending;

    /// Returns a function that can be called on any thread, with the index of a plugin and the ID of a queue. It leads to a call of
    /// `ready` from the worker's event loop, unless what is pending is cancelled.
    fn listen(&self, ready: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending);
}

/// What is called when a value has been added to a queue, with the index of the plugin that listens and the ID of the queue.
pub(crate) type QueueListener = Arc<dyn Fn(usize, u32) + Send + Sync>;

/// The port of a worker that serves streams without a proxy. Calls are never answered, and timers never fire.
pub(crate) struct NoPort;

/// Something that a port has not finished. Dropping it cancels it.
pub(crate) struct Pending(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Any>);

/// An HTTP call.
pub(crate) struct HttpCall {
    /// Where to send the request.
    pub(crate) authority: Authority,
    pub(crate) headers: Fields,
    pub(crate) body: Bytes,
    /// The time of [`Clock::monotonic`](crate::Clock::monotonic) at which the call is given up.
    pub(crate) deadline: Option<u64>,
}

/// How a call ended.
pub(crate) enum CallOutcome {
    Response(CallResponse),
    Reset,
}

/// The response to a call.
pub(crate) struct CallResponse {
    pub(crate) headers: Fields,
    pub(crate) body: Bytes,
    pub(crate) trailers: Fields,
}

/// A request to the port.
pub(crate) enum Output {
    /// Send the request of a call that has been registered.
    Call { id: u32, call: HttpCall },
    /// Set the period of a plugin's timer, from a time of [`Clock::monotonic`](crate::Clock::monotonic). A period of zero stops it.
    SetTimer {
        plugin: usize,
        period: Duration,
        from: u64,
    },
}

/// What an instance has requested, and its calls in progress.
#[derive(Default)]
pub(crate) struct Outbox {
    queued: RefCell<Vec<Output>>,
    calls: RefCell<HashMap<u32, CallInProgress>>,
    last_id: Cell<u32>,
    /// The total size of the bodies of the calls in progress, in bytes.
    body_bytes: Cell<usize>,
}

struct CallInProgress {
    /// The ID of the context that receives the outcome.
    receiver: u32,
    body_bytes: usize,
    pending: Option<Pending>,
}

/// The maximum number of calls that an instance has in progress. Envoy's default limit is the same, for each cluster.
const MAX_CALLS: usize = 1024;

/// The maximum total size of the bodies of these calls, in bytes.
const MAX_CALL_BODY_BYTES: usize = 64 << 20;

/// As in Envoy, the numbers of HTTP calls are multiples of four.
const ID_STEP: u32 = 4;

impl Pending {
    /// `guard` cancels what is pending when it is dropped.
    pub(crate) fn new(guard: impl Any) -> Self {
        Self(Box::new(guard))
    }
}

impl Port for NoPort {
    fn send(&self, _: HttpCall, _: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        Pending::new(())
    }

    fn schedule(&self, _: u64, _: Box<dyn FnOnce()>) -> Pending {
        Pending::new(())
    }

    fn listen(&self, _: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending) {
        (Arc::new(|_, _| ()), Pending::new(()))
    }
}

// === impl Outbox ===

impl Outbox {
    /// Queues a call whose outcome the context `receiver` gets, and returns its ID. Returns `None` if too many calls are in progress.
    pub(crate) fn send(&self, receiver: u32, call: HttpCall) -> Option<u32> {
        let mut calls = self.calls.borrow_mut();
        let body_bytes = call.body.len();
        let total = self.body_bytes.get().checked_add(body_bytes)?;
        if calls.len() >= MAX_CALLS || total > MAX_CALL_BODY_BYTES {
            return None;
        }
        let mut id = self.last_id.get();
        loop {
            id = id.wrapping_add(ID_STEP);
            // After 2^30 calls, IDs wrap around and skip those that are still in use.
            if id != 0 && !calls.contains_key(&id) {
                break;
            }
        }
        self.last_id.set(id);
        self.body_bytes.set(total);
        let in_progress = CallInProgress {
            receiver,
            body_bytes,
            pending: None,
        };
        calls.insert(id, in_progress);
        self.queued.borrow_mut().push(Output::Call { id, call });
        Some(id)
    }

    /// Queues a change of a plugin's timer.
    pub(crate) fn set_timer(&self, plugin: usize, period: Duration, from: u64) {
        self.queued.borrow_mut().push(Output::SetTimer {
            plugin,
            period,
            from,
        });
    }

    /// Returns what has been queued since the last call.
    pub(crate) fn take_queued(&self) -> Vec<Output> {
        if self.queued.borrow().is_empty() {
            return Vec::new();
        }
        self.queued.take()
    }

    /// Keeps what cancels a call.
    pub(crate) fn call_started(&self, id: u32, pending: Pending) {
        if let Some(call) = self.calls.borrow_mut().get_mut(&id) {
            call.pending = Some(pending);
        }
    }

    /// Removes a call that has ended. Returns the ID of the context that receives the outcome.
    pub(crate) fn call_ended(&self, id: u32) -> Option<u32> {
        let call = self.calls.borrow_mut().remove(&id)?;
        let left = self.body_bytes.get().saturating_sub(call.body_bytes);
        self.body_bytes.set(left);
        Some(call.receiver)
    }

    /// Drops what is queued, and cancels all calls.
    pub(crate) fn cancel_all(&self) {
        let queued = self.queued.take();
        let calls = self.calls.take();
        self.body_bytes.set(0);
        drop((queued, calls));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(body: usize) -> HttpCall {
        HttpCall {
            authority: Authority::from_static("localhost:80"),
            headers: Fields::new(),
            body: vec![0; body].into(),
            deadline: None,
        }
    }

    #[test]
    fn call_ids_skip_those_in_use() {
        let outbox = Outbox::default();
        assert_eq!(outbox.send(1, call(0)), Some(4));
        outbox.last_id.set(u32::MAX - 3);
        assert_eq!(outbox.send(2, call(0)), Some(8));
        assert_eq!(outbox.call_ended(4), Some(1));
        assert_eq!(outbox.call_ended(4), None);
        assert_eq!(outbox.take_queued().len(), 2);
        assert_eq!(outbox.take_queued().len(), 0);
    }

    #[test]
    fn calls_in_progress_are_limited() {
        let outbox = Outbox::default();
        assert!(outbox.send(1, call(MAX_CALL_BODY_BYTES)).is_some());
        assert_eq!(outbox.send(1, call(1)), None);
        outbox.call_ended(4);
        for _ in 0..MAX_CALLS {
            assert!(outbox.send(1, call(1)).is_some());
        }
        assert_eq!(outbox.send(1, call(0)), None);
        outbox.cancel_all();
        assert!(outbox.send(1, call(MAX_CALL_BODY_BYTES)).is_some());
    }
}
