//! The state of a stream that hostcalls can read and change.
//!
//! It is separate from the state machine, which controls the order of callbacks, because a guest can access any stream
//! of its instance in any callback. Two rules prevent cells from being borrowed twice: the state machine holds no
//! borrow while a guest runs, and a hostcall calls only its own closure while it holds one.

pub mod body;
pub mod local_response;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use crate::attributes::Connection;
use crate::fields::Fields;
use crate::inconsistency;
use crate::state::body::Body;
use crate::state::local_response::LocalResponse;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// A request of a plugin, which is executed after the current callback has returned.
#[derive(Debug)]
pub enum Command {
    Resume { filter: usize, direction: Direction },
    SendLocalResponse(Box<LocalResponse>),
    Reset,
}

/// The part of a stream that the hostcalls of its plugins can access.
pub struct SharedStream {
    pub state: RefCell<State>,
    /// When the stream began, in nanoseconds since 1970-01-01 00:00 UTC.
    pub began: u64,
    /// Whether the stream's state machine is running. It handles new commands itself, so that no wake is needed.
    pub running: Cell<bool>,
    /// Whether a command was queued, or an instance died, while the stream was not running.
    pub notified: Cell<bool>,
    /// The number under which the observer knows the stream, if there is an observer.
    pub observed_as: Option<u64>,
    /// The calls to the guests of the stream's worker.
    pub calls: Rc<CallCounter>,
    wake: Rc<dyn Fn()>,
}

/// Numbers the calls to the guests of a worker. Commands of different calls can wait for the same stream, because it runs later than
/// the calls return. The number tells whether two of them come from the same call.
#[derive(Default)]
pub struct CallCounter(Cell<u64>);

/// The state that hostcalls can change.
#[derive(Default)]
pub struct State {
    pub maps: [Option<Fields>; 4],
    /// The body data that is passing through the chain, by direction.
    pub passing: [Body; 2],
    /// The body data that is buffered while paused, by direction. An empty body stands for an end of the stream without
    /// data.
    pub buffered: [Option<Body>; 2],
    pub filters: Vec<FilterState>,
    pub commands: Vec<Command>,
    /// The downstream connection, if there is one.
    pub connection: Option<Connection>,
    /// The status of the response: as received or generated, and later as sent downstream.
    pub response_status: Option<u16>,
    /// The properties that plugins have set, by path.
    pub properties: Vec<(Box<[u8]>, Bytes)>,
    /// Whether `local-responses.send` is rejected: there is a local response already, or the stream was reset or is
    /// ending.
    pub rejects_local_response: bool,
    /// The number of the call to a guest in which a plugin has sent a local response.
    pub local_response_sent_in: Option<u64>,
    /// Whether the response headers have passed the chain.
    pub response_headers_sent: bool,
    /// Whether the stream has ended. Hostcalls then return `closed`.
    pub ended: bool,
}

/// The state of one plugin on the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilterState {
    /// The field maps that the plugin can access, as [`FieldMap::bit`]s. They correspond to the map pointers in Envoy's
    /// context that are not null.
    pub accessible_maps: u8,
    /// The callback that is running.
    pub phase: Option<Phase>,
    /// Whether the running callback is the one for the end of the message.
    pub at_end: bool,
    /// Whether the plugin has passed on the response headers.
    pub response_passed: bool,
    /// Whether the plugin's last body callback paused, so that the plugin sees the accumulated body, by direction.
    pub accumulating: [bool; 2],
}

impl SharedStream {
    pub fn new(
        filters: usize,
        began: u64,
        wake: Rc<dyn Fn()>,
        observed_as: Option<u64>,
        calls: Rc<CallCounter>,
    ) -> Self {
        let state = State {
            filters: vec![FilterState::default(); filters],
            ..State::default()
        };
        Self {
            state: RefCell::new(state),
            began,
            running: Cell::new(false),
            notified: Cell::new(false),
            observed_as,
            calls,
            wake,
        }
    }

    /// Reads the state, which must not be borrowed for changes.
    pub fn read<R: Default>(&self, read: impl FnOnce(&State) -> R) -> R {
        match self.state.try_borrow() {
            Ok(state) => read(&state),
            Err(_) => {
                inconsistency::report("a stream's state is read while it is changed");
                R::default()
            }
        }
    }

    /// Changes the state, which must not be borrowed.
    pub fn change<R: Default>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        match self.state.try_borrow_mut() {
            Ok(mut state) => change(&mut state),
            Err(_) => {
                inconsistency::report("a stream's state is changed while it is in use");
                R::default()
            }
        }
    }

    /// Wakes the stream, unless it is running or was woken already. It handles queued commands and dead instances after
    /// the current callback, of whichever stream, has returned.
    pub fn notify(&self) {
        if !self.running.get() && !self.notified.replace(true) {
            (self.wake)();
        }
    }
}

impl CallCounter {
    /// Returns the number of the running call.
    pub fn current(&self) -> u64 {
        self.0.get()
    }

    /// Records that a call has returned. What follows belongs to another one.
    pub fn advance(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }
}

impl FilterState {
    /// Returns whether the plugin sees the accumulated body of a direction.
    pub fn accumulates(&self, direction: Direction) -> bool {
        let accumulating = self.accumulating.get(direction.index());
        accumulating.copied().unwrap_or(false)
    }
}

impl State {
    pub fn map(&self, map: FieldMap) -> Option<&Fields> {
        self.maps.get(map.index()).and_then(Option::as_ref)
    }

    pub fn filter(&self, filter: usize) -> FilterState {
        self.filters.get(filter).copied().unwrap_or_default()
    }

    /// Returns the body that a filter sees: the buffered data if its last body callback paused, otherwise the data that
    /// is passing.
    pub fn body(&mut self, filter: usize, direction: Direction) -> &mut Body {
        let accumulates = self.filter(filter).accumulates(direction);
        let [request_buffered, response_buffered] = &mut self.buffered;
        let [request, response] = &mut self.passing;
        let (buffered, passing) = match direction {
            Direction::Request => (request_buffered, request),
            Direction::Response => (response_buffered, response),
        };
        match buffered {
            Some(buffered) if accumulates => buffered,
            _ => passing,
        }
    }

    /// Returns whether a change of `map` adds trailers: in the body callback for the end of a message that has none.
    pub fn adds_trailers(&self, filter: usize, map: FieldMap) -> bool {
        let direction = match map {
            FieldMap::RequestTrailers => Direction::Request,
            FieldMap::ResponseTrailers => Direction::Response,
            FieldMap::RequestHeaders | FieldMap::ResponseHeaders => return false,
        };
        let FilterState { phase, at_end, .. } = self.filter(filter);
        at_end && phase == Some(direction.body_phase()) && self.map(map).is_none()
    }

    /// Adds trailers, which the plugin can access.
    pub fn add_trailers(&mut self, filter: usize, map: FieldMap, trailers: Fields) {
        if let Some(slot) = self.maps.get_mut(map.index()) {
            *slot = Some(trailers);
        }
        if let Some(filter) = self.filters.get_mut(filter) {
            filter.accessible_maps |= map.bit();
        }
    }
}
