//! What an instance requests of its worker besides streams: HTTP calls, timers and the events of queues.
//!
//! Hostcalls queue requests in an [`Outbox`]. When the callback has returned, `vm` passes them to the worker's [`Port`], and later
//! passes the outcomes back to the guest. Nothing runs in between, so an outcome never arrives while a guest runs. Whatever is
//! pending belongs to one instance, and is cancelled with it.

pub mod manual;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::uri::Authority;

use crate::fields::Fields;
use crate::shared_queues::EventPermit;
use crate::state::CallCounter;
use crate::state::local_response::{LocalResponse, RequestKind};

/// The worker, from the point of view of an instance.
pub trait Port {
    /// Sends a request. `done` is called once, from the worker's event loop, unless the call is cancelled.
    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending;

    /// Calls `fire` once at a time of [`Clock::monotonic`](crate::clock::Clock::monotonic), from the worker's event loop, unless it is cancelled.
    fn schedule(&self, at: u64, fire: Box<dyn FnOnce()>) -> Pending;

    /// Returns a function that can be called on any thread, with the index of a plugin and the ID of a queue. It leads to a call of
    /// `ready` from the worker's event loop, unless what is pending is cancelled.
    fn listen(&self, ready: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending);

    /// Returns what the instances of the worker share.
    fn state(&self) -> &PortState;
}

/// What the instances of a worker share. It belongs to the port because that is the same before and after a reload.
#[derive(Default)]
pub struct PortState {
    /// The instances that are no longer in use, but are kept for plugins that are not done.
    pub lingering: Lingering,
    /// The calls to all guests.
    pub calls: Rc<CallCounter>,
}

/// An instance that is kept for plugins that are not done.
pub trait Linger {
    /// Returns whether the instance is still kept.
    fn is_kept(&self) -> bool;

    /// Ends the instance.
    fn give_up(&self, reason: &str);
}

/// The instances of a worker that are kept for plugins that are not done, oldest first. Their number is limited, because each replacement
/// of plugins that are never done adds one.
#[derive(Default)]
pub struct Lingering(RefCell<VecDeque<Weak<dyn Linger>>>);

/// The maximum number of instances that a worker keeps for plugins that are not done.
const MAX_LINGERING: usize = 4;

/// What is called when a value has been added to a queue, with the index of the plugin that listens and the ID of the queue.
pub type QueueListener = Arc<dyn Fn(usize, u32, EventPermit) + Send + Sync>;

/// The port of a worker that serves streams without a proxy. Calls are never answered, and timers never fire.
#[derive(Default)]
pub struct NoPort {
    state: PortState,
}

/// Something that a port has not finished. Dropping it cancels it.
pub struct Pending(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Any>);

/// An HTTP call.
pub struct HttpCall {
    /// Where to send the request.
    pub authority: Authority,
    pub headers: Fields,
    pub body: Bytes,
    /// The time of [`Clock::monotonic`](crate::clock::Clock::monotonic) at which the call is given up.
    pub deadline: Option<u64>,
}

/// How a call ended.
pub enum CallOutcome {
    Response(CallResponse),
    Reset,
}

/// The response to a call.
pub struct CallResponse {
    pub headers: Fields,
    pub body: Bytes,
    pub trailers: Fields,
}

/// A new period of a plugin's timer.
pub struct TimerSetting {
    pub plugin: usize,
    /// Zero stops the timer.
    pub period: Duration,
    /// The time of [`Clock::monotonic`](crate::clock::Clock::monotonic) at which it begins.
    pub from: u64,
}

/// What an instance has requested, and its calls in progress.
#[derive(Default)]
pub struct Outbox {
    /// Calls that the port has not got yet, with their IDs.
    queued: RefCell<Vec<(u32, HttpCall)>>,
    /// The last setting of each plugin's timer that the port has not got yet, by the plugin's index.
    timers: RefCell<BTreeMap<usize, TimerSetting>>,
    calls: RefCell<HashMap<u32, CallInProgress>>,
    last_id: Cell<u32>,
    /// The approximate size of the requests of the calls in progress, in bytes.
    bytes: Cell<usize>,
}

struct CallInProgress {
    /// The ID of the context that receives the outcome.
    receiver: u32,
    bytes: usize,
    pending: Option<Pending>,
}

/// The maximum number of calls that an instance has in progress. Envoy's default limit is the same, for each cluster.
const MAX_CALLS: usize = 1024;

/// The maximum total size of the requests of these calls, in bytes.
const MAX_CALL_BYTES: usize = 64 << 20;

/// The approximate overhead of a header, in bytes.
const HEADER_OVERHEAD: usize = 64;

/// As in Envoy, the numbers of HTTP calls are multiples of four.
const ID_STEP: u32 = 4;

impl Pending {
    /// `guard` cancels what is pending when it is dropped.
    pub fn new(guard: impl Any) -> Self {
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
        (Arc::new(|_, _, _| ()), Pending::new(()))
    }

    fn state(&self) -> &PortState {
        &self.state
    }
}

// === impl CallOutcome ===

impl CallOutcome {
    /// Creates the proxy's response to a request that has failed. As in Envoy, it depends on the kind of the request.
    pub fn from_proxy(status: StatusCode, body: Bytes, kind: RequestKind) -> Self {
        let (headers, body) = LocalResponse::from_proxy(status, body).into_message(kind);
        Self::Response(CallResponse {
            headers,
            body,
            trailers: Fields::new(),
        })
    }

    /// Creates the proxy's response to a request to a service that it cannot connect to.
    pub fn unreachable(kind: RequestKind) -> Self {
        let body = upstream_error_body("remote connection failure");
        Self::from_proxy(StatusCode::SERVICE_UNAVAILABLE, body, kind)
    }

    /// Creates the proxy's response to a request whose response has not begun within the timeout.
    pub fn timed_out(kind: RequestKind) -> Self {
        let body = Bytes::from_static(b"upstream request timeout");
        Self::from_proxy(StatusCode::GATEWAY_TIMEOUT, body, kind)
    }
}

/// Returns the body of the proxy's response to a request that has failed before its response began. The text is Envoy's.
pub fn upstream_error_body(reason: &str) -> Bytes {
    Bytes::from(format!(
        "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
    ))
}

// === impl Lingering ===

impl Lingering {
    /// Adds an instance, and ends the oldest if there are too many.
    pub fn add(&self, instance: Weak<dyn Linger>) {
        let mut kept = self.0.borrow_mut();
        kept.retain(|it| it.upgrade().is_some_and(|it| it.is_kept()));
        kept.push_back(instance);
        let oldest = match kept.len() > MAX_LINGERING {
            true => kept.pop_front(),
            false => None,
        };
        drop(kept);
        if let Some(oldest) = oldest.and_then(|it| it.upgrade()) {
            let reason = format!("{MAX_LINGERING} more recent instances are not done either");
            oldest.give_up(&reason);
        }
    }
}

// === impl Outbox ===

impl Outbox {
    /// Queues a call whose outcome the context `receiver` gets, and returns its ID. Returns `None` if too many calls are in progress.
    pub fn queue_call(&self, receiver: u32, call: HttpCall) -> Option<u32> {
        let mut calls = self.calls.borrow_mut();
        let headers = call.headers.byte_size() + call.headers.len() * HEADER_OVERHEAD;
        let bytes = call.body.len().checked_add(headers)?;
        let total = self.bytes.get().checked_add(bytes)?;
        if calls.len() >= MAX_CALLS || total > MAX_CALL_BYTES {
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
        self.bytes.set(total);
        let in_progress = CallInProgress {
            receiver,
            bytes,
            pending: None,
        };
        calls.insert(id, in_progress);
        self.queued.borrow_mut().push((id, call));
        Some(id)
    }

    /// Queues a change of a plugin's timer. Only the last one counts.
    pub fn set_timer(&self, setting: TimerSetting) {
        self.timers.borrow_mut().insert(setting.plugin, setting);
    }

    /// Returns the calls that have been queued since the last time.
    pub fn take_calls(&self) -> Vec<(u32, HttpCall)> {
        self.queued.take()
    }

    /// Returns the settings of timers that have been queued since the last time.
    pub fn take_timers(&self) -> BTreeMap<usize, TimerSetting> {
        self.timers.take()
    }

    /// Returns whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.borrow().is_empty() && self.timers.borrow().is_empty()
    }

    /// Keeps what cancels a call.
    pub fn call_started(&self, id: u32, pending: Pending) {
        if let Some(call) = self.calls.borrow_mut().get_mut(&id) {
            call.pending = Some(pending);
        }
    }

    /// Removes a call that has ended. Returns the ID of the context that receives the outcome.
    pub fn call_ended(&self, id: u32) -> Option<u32> {
        let call = self.calls.borrow_mut().remove(&id)?;
        let left = self.bytes.get().saturating_sub(call.bytes);
        self.bytes.set(left);
        Some(call.receiver)
    }

    /// Drops what is queued, and cancels all calls.
    pub fn cancel_all(&self) {
        let queued = self.queued.take();
        let calls = self.calls.take();
        self.timers.take();
        self.bytes.set(0);
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
        assert_eq!(outbox.queue_call(1, call(0)), Some(4));
        outbox.last_id.set(u32::MAX - 3);
        assert_eq!(outbox.queue_call(2, call(0)), Some(8));
        assert_eq!(outbox.call_ended(4), Some(1));
        assert_eq!(outbox.call_ended(4), None);
        assert_eq!(outbox.take_calls().len(), 2);
        assert_eq!(outbox.take_calls().len(), 0);
    }

    #[test]
    fn calls_in_progress_are_limited() {
        let outbox = Outbox::default();
        assert!(outbox.queue_call(1, call(MAX_CALL_BYTES)).is_some());
        assert_eq!(outbox.queue_call(1, call(1)), None);
        outbox.call_ended(4);
        for _ in 0..MAX_CALLS {
            assert!(outbox.queue_call(1, call(1)).is_some());
        }
        assert_eq!(outbox.queue_call(1, call(0)), None);
        outbox.cancel_all();
        assert!(outbox.queue_call(1, call(MAX_CALL_BYTES)).is_some());
    }

    #[test]
    fn only_the_last_setting_of_a_timer_is_kept() {
        let outbox = Outbox::default();
        for number in 0..1_000_000 {
            outbox.set_timer(TimerSetting {
                plugin: 1,
                period: Duration::from_millis(number),
                from: 0,
            });
        }
        let settings = outbox.take_timers();
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[&1].period, Duration::from_millis(999_999));
        assert!(outbox.is_empty());
    }
}
