//! What hostcalls can see and change of a stream.
//!
//! It is kept apart from the state machine, which owns the order of things, because a guest may reach any stream of its
//! instance from any callback. The rule that keeps the cells from being borrowed twice: the state machine holds no borrow while
//! a guest runs, and a hostcall calls nothing but its own closure while it holds one.

pub(crate) mod body;
pub(crate) mod local_response;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use crate::attributes::Connection;
use crate::fields::Fields;
use crate::inconsistency;
use crate::state::body::Body;
use crate::state::local_response::LocalResponse;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// What a plugin asked for during a callback, and gets when the callback has returned.
#[derive(Debug)]
pub(crate) enum Command {
    Resume { filter: usize, half: Direction },
    Respond(Box<LocalResponse>),
    Reset,
}

/// A stream, as its plugins' hostcalls reach it.
pub(crate) struct SharedStream {
    pub(crate) state: RefCell<State>,
    /// Whether one of the stream's own callbacks runs, so that nobody needs to be woken.
    pub(crate) busy: Cell<bool>,
    /// Whether something was asked for, or an instance died, while the stream was not busy.
    pub(crate) called: Cell<bool>,
    wake: Rc<dyn Fn()>,
}

/// The part that hostcalls change.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) maps: [Option<Fields>; 4],
    /// What the body callback that runs was called for.
    pub(crate) passing: [Body; 2],
    /// What was paused; there can be an empty one, which stands for the end of the stream alone.
    pub(crate) held: [Option<Body>; 2],
    pub(crate) filters: Vec<FilterState>,
    pub(crate) commands: Vec<Command>,
    /// Over which connection it came, if it came over one.
    pub(crate) connection: Option<Connection>,
    /// The status of the response: as it came, from upstream or in its place, then as it went.
    pub(crate) code: Option<u16>,
    /// What plugins left on it, by path.
    pub(crate) left: Vec<(Box<[u8]>, Bytes)>,
    /// A plugin has answered the request itself.
    pub(crate) answered: bool,
    /// The head of the response has been handed downstream.
    pub(crate) sent: bool,
    /// Nothing can be asked of this stream any more.
    pub(crate) ended: bool,
}

/// One plugin's part of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FilterState {
    /// The maps that it may change: bits, by [`FieldMap`]. Envoy's pointers that are not null.
    pub(crate) live: u8,
    /// The callback that runs.
    pub(crate) phase: Option<Phase>,
    /// Whether its last body callback paused, so that what it sees has accumulated.
    pub(crate) buffering: [bool; 2],
}

impl SharedStream {
    pub(crate) fn new(filters: usize, wake: Rc<dyn Fn()>) -> Self {
        let state = State {
            filters: vec![FilterState::default(); filters],
            ..State::default()
        };
        Self {
            state: RefCell::new(state),
            busy: Cell::new(false),
            called: Cell::new(false),
            wake,
        }
    }

    /// Reads the state, which nobody changes meanwhile.
    pub(crate) fn read<R: Default>(&self, read: impl FnOnce(&State) -> R) -> R {
        match self.state.try_borrow() {
            Ok(state) => read(&state),
            Err(_) => {
                inconsistency::report("a stream's state is read while it is changed");
                R::default()
            }
        }
    }

    /// Changes the state, which nobody reads or changes meanwhile.
    pub(crate) fn change<R: Default>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        match self.state.try_borrow_mut() {
            Ok(mut state) => change(&mut state),
            Err(_) => {
                inconsistency::report("a stream's state is changed while it is in use");
                R::default()
            }
        }
    }

    /// Has the stream look at what was asked of it, once the present callback, of whichever stream, has returned.
    pub(crate) fn call(&self) {
        if !self.busy.get() && !self.called.replace(true) {
            (self.wake)();
        }
    }
}

impl State {
    pub(crate) fn map(&self, map: FieldMap) -> Option<&Fields> {
        self.maps.get(map.index()).and_then(Option::as_ref)
    }

    pub(crate) fn filter(&self, filter: usize) -> FilterState {
        self.filters.get(filter).copied().unwrap_or_default()
    }

    /// What the body callback of a filter sees.
    pub(crate) fn body(&mut self, filter: usize, half: Direction) -> &mut Body {
        let buffering = self
            .filter(filter)
            .buffering
            .get(half.index())
            .copied()
            .unwrap_or(false);
        let [request_held, response_held] = &mut self.held;
        let [request, response] = &mut self.passing;
        let (held, passing) = match half {
            Direction::Request => (request_held, request),
            Direction::Response => (response_held, response),
        };
        match held {
            Some(held) if buffering => held,
            _ => passing,
        }
    }
}
