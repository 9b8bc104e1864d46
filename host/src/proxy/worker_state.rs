//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::clock::Clock;
use crate::proxy::pool::Pool;
use crate::proxy::profile::EdgeSettings;
use crate::proxy::timeouts::Timeouts;
use crate::runtime::WorkerChain;

/// The state that the connections of one worker share.
pub(super) struct WorkerState {
    /// The chain for new streams. Active streams keep the chain with which they began.
    pub(super) chain: RefCell<WorkerChain>,
    pub(super) upstream: Rc<Pool>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeouts: Timeouts,
    pub(super) edge: EdgeSettings,
    is_draining: Cell<bool>,
    /// The wakers of all connections, by the ID of the connection.
    wakers: RefCell<HashMap<u64, Rc<TaskWaker>>>,
}

/// Wakes the task of a connection: when the callback of another stream has changed its stream, or when the worker stops.
#[derive(Default)]
pub(super) struct TaskWaker {
    waker: Cell<Option<Waker>>,
}

/// Removes a connection from the state when it is dropped.
pub(super) struct Registration {
    state: Rc<WorkerState>,
    id: u64,
}

// === impl WorkerState ===

impl WorkerState {
    pub(super) fn new(
        chain: WorkerChain,
        upstream: Rc<Pool>,
        clock: Arc<dyn Clock>,
        timeouts: Timeouts,
        edge: EdgeSettings,
    ) -> Self {
        Self {
            chain: RefCell::new(chain),
            upstream,
            clock,
            timeouts,
            edge,
            is_draining: Cell::new(false),
            wakers: RefCell::default(),
        }
    }

    /// Returns whether the worker stops, so that connections are closed after their current response.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Adds a connection.
    pub(super) fn register(self: &Rc<Self>, id: u64) -> (Rc<TaskWaker>, Registration) {
        let waker = Rc::new(TaskWaker::default());
        self.wakers.borrow_mut().insert(id, waker.clone());
        let state = self.clone();
        (waker, Registration { state, id })
    }

    /// Closes all connections after their current response, and idle ones soon.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        for waker in self.wakers.borrow().values() {
            waker.wake();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let removed = self.state.wakers.borrow_mut().remove(&self.id);
        drop(removed);
    }
}

// === impl TaskWaker ===

impl TaskWaker {
    /// Remembers the task that is being polled.
    pub(super) fn register(&self, cx: &mut Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    pub(super) fn wake(&self) {
        // The task is polled again, and then stores its waker again.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
