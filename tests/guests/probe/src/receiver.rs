//! What the steps of a callback run on: a plugin context and, if the callback belongs to a stream, its filter.
//!
//! `tests/guests/sdk-probe` is made of this file as well. How a proxy calls the two is in the `lib.rs` of each.

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

/// What filters share with their plugin context, which may be gone before they are.
pub struct State {
    pub script: Script,
    /// Handles that outlive their filters.
    pub kept: RefCell<BTreeMap<String, Rc<HttpStream>>>,
    pub metrics: Metrics,
    pub queues: Queues,
    /// The HTTP calls that this plugin context has sent, in order.
    pub calls: RefCell<Vec<CallId>>,
    /// The first reading of the clock, which later ones are told from.
    pub started: Cell<Option<u64>>,
    /// The number of the first stream that was asked for it.
    pub first: Cell<Option<u32>>,
    /// The version of the shared value that was read last.
    pub read: Cell<u32>,
    counted: Cell<u32>,
    ticks: Cell<u32>,
}

/// The state of one stream.
pub struct Filter {
    pub plugin: Rc<State>,
    /// The request's path when the filter was made; steps are chosen by it.
    path: String,
    pub http: RefCell<Option<Rc<HttpStream>>>,
}

/// What a callback is called on.
#[derive(Clone, Copy)]
pub struct Receiver<'a> {
    pub plugin: &'a State,
    /// The filter, if the callback belongs to a stream.
    pub filter: Option<&'a Filter>,
}

/// What a callback is called with; steps are chosen by it.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// No arguments.
    Empty,
    /// Headers, whose size is 0, or a part of a body.
    Data { size: u32, end: bool },
    /// The number of a tick, from 1.
    Tick(u32),
    /// The ID of a queue.
    Queue(QueueId),
    /// The number of a call, if this plugin context has sent it, and its outcome.
    Outcome {
        call: Option<usize>,
        outcome: &'a Outcome,
    },
}

/// What this instance counted, whichever its plugin context: instances are seen through it.
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

    /// Runs the steps of a callback that belongs to no stream, and says what it returns, if it returns something.
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

    /// Runs the steps for the end of the plugin.
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

    /// The next tick.
    pub fn tick(&self) -> Event<'static> {
        self.ticks.set(self.ticks.get() + 1);
        Event::Tick(self.ticks.get())
    }

    /// The outcome of a call, with the call's number: 1 for the first that this plugin context has sent.
    pub fn outcome<'a>(&self, call: CallId, outcome: &'a Outcome) -> Event<'a> {
        // A proxy may use the ID of a call that has ended again.
        let at = self.calls.borrow().iter().rposition(|sent| *sent == call);
        let call = at.map(|at| at + 1);
        Event::Outcome { call, outcome }
    }

    /// Counts for this plugin context and for the instance.
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
    /// Makes the filter of a stream and runs the steps of its constructor.
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

    /// Runs the steps of a callback and says what it returns.
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

    /// Whether a step is for this stream.
    fn is_for(self, step: &Step) -> bool {
        let has_path = |path: &String| self.filter.is_some_and(|filter| filter.path == *path);
        step.path.as_ref().is_none_or(has_path)
    }

    /// The stream that a step is about, if there still is a handle.
    pub fn stream(self, step: &Step) -> Option<Rc<HttpStream>> {
        match &step.of {
            Some(name) => self.plugin.kept.borrow().get(name).cloned(),
            None => self.own_stream(),
        }
    }

    /// The filter's own stream, if it still has a handle.
    pub fn own_stream(self) -> Option<Rc<HttpStream>> {
        self.filter.and_then(|filter| filter.http.borrow().clone())
    }
}

// === impl Event ===

impl Event<'_> {
    /// Whether a step is for a callback with these arguments.
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
