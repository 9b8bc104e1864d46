//! A port for tests: what plugins request is kept until the test answers it, and timers fire when the test says so.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::port::{CallOutcome, HttpCall, Pending, Port, PortState, QueueListener};
use crate::shared_queues::EventPermit;

/// A port that a test controls.
#[derive(Default)]
pub struct ManualPort {
    calls: Rc<RefCell<Calls>>,
    timers: Rc<Timers>,
    last_number: Cell<u64>,
    /// What instances have listened with, in order.
    listeners: RefCell<Vec<QueueReady>>,
    /// Events that no listener has got yet.
    queue_events: Arc<Mutex<VecDeque<QueueEvent>>>,
    state: PortState,
}

/// Calls that have not ended, by number, in order.
type Calls = VecDeque<(u64, SentCall)>;

/// A call, and what is called when it has ended.
pub struct SentCall {
    pub call: HttpCall,
    pub done: Box<dyn FnOnce(CallOutcome)>,
}

/// The functions of timers by time and number, so that the next one is the first.
type Timers = RefCell<BTreeMap<(u64, u64), Box<dyn FnOnce()>>>;

/// What is called for the event of a queue.
type QueueReady = Rc<dyn Fn(usize, u32)>;

/// A value has been added to a queue.
struct QueueEvent {
    listener: usize,
    plugin: usize,
    queue: u32,
    _permit: EventPermit,
}

/// Removes a call when it is dropped.
struct RemoveCall {
    calls: Rc<RefCell<Calls>>,
    number: u64,
}

/// Removes a timer when it is dropped.
struct RemoveTimer {
    timers: Rc<Timers>,
    key: (u64, u64),
}

// === impl ManualPort ===

impl ManualPort {
    /// Removes and returns the oldest call.
    pub fn take_call(&self) -> Option<SentCall> {
        self.calls.borrow_mut().pop_front().map(|(_, call)| call)
    }

    /// Removes and returns the oldest call whose deadline is at most `time`.
    pub fn take_expired_call(&self, time: u64) -> Option<SentCall> {
        let mut calls = self.calls.borrow_mut();
        let is_expired =
            |(_, sent): &(u64, SentCall)| sent.call.deadline.is_some_and(|it| it <= time);
        let index = calls.iter().position(is_expired)?;
        calls.remove(index).map(|(_, call)| call)
    }

    /// Returns the earliest time of a timer or of the deadline of a call, if there is one.
    pub fn next_time(&self) -> Option<u64> {
        let timer = self.timers.borrow().keys().next().map(|(at, _)| *at);
        let calls = self.calls.borrow();
        let deadlines = calls.iter().filter_map(|(_, sent)| sent.call.deadline);
        timer.into_iter().chain(deadlines).min()
    }

    /// Returns the number of calls that have not ended.
    pub fn call_count(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Ends the oldest call. Returns `false` if there is none.
    pub fn end_call(&self, outcome: CallOutcome) -> bool {
        let sent = self.take_call();
        sent.is_some_and(|it| {
            (it.done)(outcome);
            true
        })
    }

    /// Lets the next timer fire. Returns `false` if none is set.
    pub fn tick(&self) -> bool {
        self.fire_until(u64::MAX)
    }

    /// Lets the timers fire whose time has come, and those that they set for no later time.
    pub fn run_until(&self, time: u64) {
        while self.fire_until(time) {}
    }

    /// Lets the next timer fire, if its time has come. Returns whether one has fired.
    pub fn fire_until(&self, time: u64) -> bool {
        let next = self.timers.borrow().keys().next().copied();
        let Some(key) = next.filter(|(at, _)| *at <= time) else {
            return false;
        };
        let fire = self.timers.borrow_mut().remove(&key);
        fire.is_some_and(|fire| {
            fire();
            true
        })
    }

    /// Returns whether a timer is set.
    pub fn has_timers(&self) -> bool {
        !self.timers.borrow().is_empty()
    }

    /// Reports a value in a queue to the instance that started first.
    pub fn queue_ready(&self, plugin: usize, queue: u32) {
        let first = self.listeners.borrow().first().cloned();
        if let Some(ready) = first {
            ready(plugin, queue);
        }
    }

    /// Passes the oldest event of a queue to the instance that listens. Returns `false` if there is none.
    pub fn pass_queue_event(&self) -> bool {
        let event = self.lock_events().pop_front();
        let Some(QueueEvent {
            listener,
            plugin,
            queue,
            ..
        }) = event
        else {
            return false;
        };
        let ready = self.listeners.borrow().get(listener).cloned();
        if let Some(ready) = ready {
            ready(plugin, queue);
        }
        true
    }

    /// Drops the events of queues that have reached no plugin, and returns the plugins that they were for, by index.
    pub fn take_queue_events(&self) -> Vec<usize> {
        let events = std::mem::take(&mut *self.lock_events());
        events.iter().map(|it| it.plugin).collect()
    }

    /// Drops everything that has not happened yet.
    pub fn stop(&self) {
        let calls = self.calls.take();
        let timers = self.timers.take();
        let listeners = self.listeners.take();
        drop((calls, timers, listeners));
        self.lock_events().clear();
    }

    fn lock_events(&self) -> std::sync::MutexGuard<'_, VecDeque<QueueEvent>> {
        self.queue_events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn next_number(&self) -> u64 {
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        number
    }
}

impl Port for ManualPort {
    fn state(&self) -> &PortState {
        &self.state
    }

    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        let number = self.next_number();
        let sent = SentCall { call, done };
        self.calls.borrow_mut().push_back((number, sent));
        let calls = self.calls.clone();
        Pending::new(RemoveCall { calls, number })
    }

    fn schedule(&self, at: u64, fire: Box<dyn FnOnce()>) -> Pending {
        let key = (at, self.next_number());
        self.timers.borrow_mut().insert(key, fire);
        let timers = self.timers.clone();
        Pending::new(RemoveTimer { timers, key })
    }

    fn listen(&self, ready: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending) {
        let mut listeners = self.listeners.borrow_mut();
        let listener = listeners.len();
        listeners.push(ready.into());
        let events = self.queue_events.clone();
        let queued = move |plugin, queue, permit| {
            let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push_back(QueueEvent {
                listener,
                plugin,
                queue,
                _permit: permit,
            });
        };
        (Arc::new(queued), Pending::new(()))
    }
}

impl Drop for RemoveCall {
    fn drop(&mut self) {
        let mut calls = self.calls.borrow_mut();
        let index = calls.iter().position(|(number, _)| *number == self.number);
        let removed = index.and_then(|index| calls.remove(index));
        drop(calls);
        drop(removed);
    }
}

impl Drop for RemoveTimer {
    fn drop(&mut self) {
        let removed = self.timers.borrow_mut().remove(&self.key);
        drop(removed);
    }
}
