//! The context in which the steps of a callback run: the plugin context and, if the callback belongs to a stream, its
//! filter.
//!
//! This file is also part of `tests/guests/sdk-probe`. The `lib.rs` of each plugin implements the callbacks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bindings::QueueId;
use crate::bindings::tidegate::proxy::http_call_types::{CallId, Outcome};
use crate::bindings::tidegate::proxy::http_fields::{self, FieldMap};
use crate::bindings::tidegate::proxy::http_streams::HttpStream;
use crate::bindings::tidegate::proxy::logging::{self, Level};
use crate::bindings::tidegate::proxy::types::{Action, Completion};
use crate::operations::{self, Metrics};
use crate::queues::Queues;
use crate::script::{Script, Step};

/// The state that filters share with their plugin context. They may outlive it.
pub struct State {
    pub script: Script,
    /// Handles that outlive their filters, by name.
    pub kept: RefCell<BTreeMap<String, Rc<HttpStream>>>,
    pub metrics: Metrics,
    pub queues: Queues,
    /// The HTTP calls that this plugin context has sent, in order.
    pub calls: RefCell<Vec<CallId>>,
    /// The first reading of the clock. Later readings are logged relative to it.
    pub started: Cell<Option<u64>>,
    /// The number of the first stream whose number was read.
    pub first: Cell<Option<u32>>,
    /// The version of the shared value that was read last.
    pub read: Cell<u32>,
    counted: Cell<u32>,
    ticks: Cell<u32>,
}

/// The state of one stream.
pub struct Filter {
    pub plugin: Rc<State>,
    /// The request's path when the filter was created, by which steps are selected.
    path: String,
    pub http: RefCell<Option<Rc<HttpStream>>>,
}

/// The context of a callback.
#[derive(Clone, Copy)]
pub struct Receiver<'a> {
    pub plugin: &'a State,
    /// The filter, if the callback belongs to a stream.
    pub filter: Option<&'a Filter>,
}

/// The arguments of a callback, by which steps are selected.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// No arguments.
    Empty,
    /// Headers, with size 0, or a part of a body.
    Data { size: u32, end: bool },
    /// The number of a tick, from 1.
    Tick(u32),
    /// The ID of a queue.
    Queue(QueueId),
    /// The outcome of an HTTP call, and the number of the call if this plugin context has sent it.
    Outcome {
        call: Option<usize>,
        outcome: &'a Outcome,
    },
}

/// A counter that all plugin contexts of this instance share. It reveals which plugin contexts share an instance.
static COUNTED: AtomicU32 = AtomicU32::new(0);

// === impl State ===

impl State {
    pub fn new(script: Script) -> Self {
        State {
            script,
            kept: RefCell::default(),
            metrics: Metrics::default(),
            queues: Queues::default(),
            calls: RefCell::default(),
            started: Cell::new(None),
            first: Cell::new(None),
            read: Cell::new(0),
            counted: Cell::new(0),
            ticks: Cell::new(0),
        }
    }

    /// Runs the steps of a callback that belongs to no stream, and returns its action, if it has one.
    pub fn run(
        &self,
        callback: &str,
        steps: impl Fn(&Script) -> &Vec<Step>,
        event: Event<'_>,
    ) -> Action {
        let receiver = Receiver {
            plugin: self,
            filter: None,
        };
        receiver.run(callback, steps, event)
    }

    /// Runs the steps of `on-plugin-done`.
    pub fn end(&self) -> Completion {
        let action = self.run(
            "on-plugin-done",
            |script| &script.on_plugin_done,
            Event::Empty,
        );
        match action {
            Action::Continue => Completion::Done,
            Action::Pause => Completion::Pending,
        }
    }

    /// Returns the next tick.
    pub fn tick(&self) -> Event<'static> {
        self.ticks.set(self.ticks.get() + 1);
        Event::Tick(self.ticks.get())
    }

    /// Returns the outcome of a call, with the call's number: 1 for the first call that this plugin context has sent.
    pub fn outcome<'a>(&self, call: CallId, outcome: &'a Outcome) -> Event<'a> {
        // A proxy may reuse the ID of a call that has ended.
        let at = self.calls.borrow().iter().rposition(|sent| *sent == call);
        let call = at.map(|at| at + 1);
        Event::Outcome { call, outcome }
    }

    /// Increments the counters of this plugin context and of the instance.
    pub fn count(&self) -> (u32, u32) {
        self.counted.set(self.counted.get() + 1);
        (
            self.counted.get(),
            COUNTED.fetch_add(1, Ordering::Relaxed) + 1,
        )
    }
}

// === impl Filter ===

impl Filter {
    /// Creates the filter of a stream, and runs the steps of its constructor.
    pub fn create(plugin: Rc<State>, http: Rc<HttpStream>) -> Self {
        let path = match http_fields::get(&http, FieldMap::RequestHeaders, ":path") {
            Ok(Some(path)) => String::from_utf8_lossy(&path).into_owned(),
            Ok(None) | Err(_) => String::new(),
        };
        let filter = Filter {
            plugin,
            path,
            http: RefCell::new(Some(http)),
        };
        filter.run("constructor", |script| &script.constructor, Event::Empty);
        filter
    }

    /// Runs the steps of a callback, and returns its action.
    pub fn run(
        &self,
        callback: &str,
        steps: impl Fn(&Script) -> &Vec<Step>,
        event: Event<'_>,
    ) -> Action {
        let receiver = Receiver {
            plugin: &self.plugin,
            filter: Some(self),
        };
        receiver.run(callback, steps, event)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if self.plugin.script.announce_drop {
            logging::log(Level::Info, &format!("filter of {} dropped", self.path));
        }
    }
}

// === impl Receiver ===

impl Receiver<'_> {
    fn run(
        self,
        callback: &str,
        steps: impl Fn(&Script) -> &Vec<Step>,
        event: Event<'_>,
    ) -> Action {
        let mut action = Action::Continue;
        for step in steps(&self.plugin.script) {
            if self.is_for(step) && event.is_for(step) {
                operations::run(self, callback, step, event, &mut action);
            }
        }
        action
    }

    /// Returns whether a step applies to this stream.
    fn is_for(self, step: &Step) -> bool {
        let has_path = |path: &String| self.filter.is_some_and(|filter| filter.path == *path);
        step.path.as_ref().is_none_or(has_path)
    }

    /// Returns the stream that a step uses, if its handle still exists.
    pub fn stream(self, step: &Step) -> Option<Rc<HttpStream>> {
        match &step.of {
            Some(name) => self.plugin.kept.borrow().get(name).cloned(),
            None => self.own_stream(),
        }
    }

    /// Returns the filter's own stream, if its handle still exists.
    pub fn own_stream(self) -> Option<Rc<HttpStream>> {
        self.filter.and_then(|filter| filter.http.borrow().clone())
    }
}

// === impl Event ===

impl Event<'_> {
    /// Returns whether a step applies to a callback with these arguments.
    fn is_for(self, step: &Step) -> bool {
        let (end, tick, call) = match self {
            Event::Empty | Event::Queue(_) => (None, None, None),
            Event::Data { end, .. } => (Some(end), None, None),
            Event::Tick(tick) => (None, Some(tick), None),
            Event::Outcome { call, .. } => (None, None, call),
        };
        (step.end.is_none() || step.end == end)
            && (step.tick.is_none() || step.tick == tick)
            && (step.call.is_none() || step.call == call)
    }
}
