//! A port for tests: what plugins request is kept until the test answers it, and timers fire when the test says so.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::port::{CallOutcome, HttpCall, Pending, Port, PortState, QueueListener};

/// A port that a test controls.
#[derive(Default)]
pub(crate) struct ManualPort {
    calls: RefCell<VecDeque<Answered>>,
    timers: Rc<Timers>,
    last_timer: Cell<u64>,
    /// What instances have listened with, in order.
    queues: RefCell<Vec<QueueReady>>,
    /// The plugins that events of queues were for, by index.
    queue_events: Arc<Mutex<Vec<usize>>>,
    state: PortState,
}

/// What is called when a call has ended.
type Answered = Box<dyn FnOnce(CallOutcome)>;

/// What is called for the event of a queue.
type QueueReady = Box<dyn Fn(usize, u32)>;

/// The functions of timers by time and number, so that the next one is the first.
type Timers = RefCell<BTreeMap<(u64, u64), Box<dyn FnOnce()>>>;

/// Removes a timer when it is dropped.
struct RemoveOnDrop {
    timers: Rc<Timers>,
    key: (u64, u64),
}

// === impl ManualPort ===

impl ManualPort {
    /// Ends the oldest call.
    pub(crate) fn end_call(&self, outcome: CallOutcome) {
        let done = self.calls.borrow_mut().pop_front().unwrap();
        done(outcome);
    }

    /// Lets the next timer fire.
    pub(crate) fn tick(&self) {
        assert!(self.fire_until(u64::MAX), "no timer is set");
    }

    /// Lets the timers fire whose time has come, and those that they set for no later time.
    pub(crate) fn run_until(&self, time: u64) {
        while self.fire_until(time) {}
    }

    pub(crate) fn has_timers(&self) -> bool {
        !self.timers.borrow().is_empty()
    }

    /// Reports a value in a queue to the instance that started first.
    pub(crate) fn queue_ready(&self, plugin: usize, queue: u32) {
        self.queues.borrow()[0](plugin, queue);
    }

    /// Returns the plugins that events of queues were for since the last time, by index. Such events reach no plugin by themselves.
    pub(crate) fn take_queue_events(&self) -> Vec<usize> {
        std::mem::take(&mut *self.queue_events.lock().unwrap())
    }

    /// Lets the next timer fire, if its time has come. Returns whether one has fired.
    fn fire_until(&self, time: u64) -> bool {
        let next = self.timers.borrow().keys().next().copied();
        let Some(key) = next.filter(|(at, _)| *at <= time) else {
            return false;
        };
        let fire = self.timers.borrow_mut().remove(&key);
        fire.unwrap()();
        true
    }
}

impl Port for ManualPort {
    fn state(&self) -> &PortState {
        &self.state
    }

    fn send(&self, _: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        self.calls.borrow_mut().push_back(done);
        Pending::new(())
    }

    fn schedule(&self, at: u64, fire: Box<dyn FnOnce()>) -> Pending {
        let number = self.last_timer.get() + 1;
        self.last_timer.set(number);
        let key = (at, number);
        self.timers.borrow_mut().insert(key, fire);
        let timers = self.timers.clone();
        Pending::new(RemoveOnDrop { timers, key })
    }

    fn listen(&self, ready: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending) {
        self.queues.borrow_mut().push(ready);
        let events = self.queue_events.clone();
        let listener: QueueListener =
            Arc::new(move |plugin, _, _| events.lock().unwrap().push(plugin));
        (listener, Pending::new(()))
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let removed = self.timers.borrow_mut().remove(&self.key);
        drop(removed);
    }
}
