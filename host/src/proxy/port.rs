//! The worker's port: sends the HTTP calls of plugins, runs their timers, and passes them the events of queues.
//!
//! All of these are tasks of the worker's thread. A task that is no longer wanted is aborted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::Authority;
use tidegate_semantics::fields::Fields;
use tidegate_semantics::port::{
    CallOutcome, CallResponse, HttpCall, Pending, Port, PortState, QueueListener,
};
use tidegate_semantics::shared_queues::EventPermit;
use tidegate_semantics::state::local_response::RequestKind;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use crate::clock::Clock;
use crate::proxy::circuit_breakers::CircuitBreakers;
use crate::proxy::head;
use crate::proxy::pool::Pool;
use crate::proxy::respond::Failure;
use crate::proxy::upstream::{Part, ResponseError, UpstreamRequest};

/// The maximum size of the body of a response, in bytes. It is Envoy's default.
const MAX_RESPONSE_BODY: usize = 32 << 20;

/// The maximum size of the bodies of all responses that a worker receives at the same time, in bytes.
const MAX_RESPONSES: usize = 256 << 20;

/// The maximum time for establishing a connection. It is Envoy's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of events of queues after which other tasks of the worker run.
const EVENTS_AT_ONCE: u64 = 16;

/// The maximum number of idle connections to one service.
const MAX_IDLE_CONNECTIONS: usize = 32;

/// The port of a worker of the proxy.
pub(super) struct WorkerPort {
    /// Gone when the worker has stopped. What plugins request then is dropped.
    tasks: Weak<LocalSet>,
    clock: Arc<dyn Clock>,
    pools: Rc<Pools>,
    /// How many bytes of responses can still be buffered.
    response_budget: Rc<Cell<usize>>,
    /// Carries the events of queues from other threads to this one.
    events: mpsc::UnboundedSender<QueueEvent>,
    listeners: Rc<RefCell<Listeners>>,
    state: PortState,
}

/// The connections to the services that plugins call. Only clusters that are configured can be called.
struct Pools {
    clock: Arc<dyn Clock>,
    by_authority: RefCell<HashMap<Authority, Rc<Pool>>>,
}

/// A value has been added to a queue.
struct QueueEvent {
    listener: u64,
    plugin: usize,
    queue: u32,
    _permit: EventPermit,
}

/// The functions that are called for such events, by number.
#[derive(Default)]
struct Listeners {
    by_number: HashMap<u64, Rc<dyn Fn(usize, u32)>>,
    last: u64,
}

/// Removes a listener when it is dropped.
struct RemoveOnDrop {
    listeners: Rc<RefCell<Listeners>>,
    number: u64,
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(AbortHandle);

// === impl WorkerPort ===

impl WorkerPort {
    pub(super) fn new(tasks: &Rc<LocalSet>, clock: Arc<dyn Clock>) -> Self {
        let (events, arriving) = mpsc::unbounded_channel();
        let listeners = Rc::new(RefCell::new(Listeners::default()));
        tasks.spawn_local(dispatch(arriving, listeners.clone()));
        Self {
            tasks: Rc::downgrade(tasks),
            pools: Rc::new(Pools {
                clock: clock.clone(),
                by_authority: RefCell::default(),
            }),
            clock,
            response_budget: Rc::new(Cell::new(MAX_RESPONSES)),
            events,
            listeners,
            state: PortState::default(),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) -> Pending {
        match self.tasks.upgrade() {
            Some(tasks) => Pending::new(AbortOnDrop(tasks.spawn_local(task).abort_handle())),
            None => Pending::new(()),
        }
    }
}

// === impl Pools ===

impl Pools {
    fn get(&self, authority: Authority) -> Rc<Pool> {
        self.by_authority
            .borrow_mut()
            .entry(authority)
            .or_insert_with_key(|authority| {
                Pool::new(
                    authority.clone(),
                    MAX_IDLE_CONNECTIONS,
                    CONNECT_TIMEOUT,
                    self.clock.clone(),
                    CircuitBreakers::default(),
                )
            })
            .clone()
    }
}

impl Port for WorkerPort {
    fn state(&self) -> &PortState {
        &self.state
    }

    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        let (pools, budget) = (self.pools.clone(), self.response_budget.clone());
        let deadline = call.deadline.map(|at| self.clock.sleep_until(at));
        self.spawn(async move {
            let begun = Cell::new(false);
            let kind = RequestKind::from_headers(&call.headers);
            let outcome = tokio::select! {
                outcome = exchange(&pools, call, kind, &begun, &budget) => outcome,
                () = expired(deadline) => match begun.get() {
                    true => CallOutcome::Reset,
                    false => CallOutcome::timed_out(kind),
                },
            };
            done(outcome);
        })
    }

    fn schedule(&self, at: u64, fire: Box<dyn FnOnce()>) -> Pending {
        let sleep = self.clock.sleep_until(at);
        self.spawn(async move {
            sleep.await;
            fire();
        })
    }

    fn listen(&self, ready: Box<dyn Fn(usize, u32)>) -> (QueueListener, Pending) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.last += 1;
        let number = listeners.last;
        listeners.by_number.insert(number, ready.into());
        let events = self.events.clone();
        let listener = move |plugin, queue, permit| {
            // If the worker has stopped, the event is dropped.
            let _ = events.send(QueueEvent {
                listener: number,
                plugin,
                queue,
                _permit: permit,
            });
        };
        let listeners = self.listeners.clone();
        let guard = RemoveOnDrop { listeners, number };
        (Arc::new(listener), Pending::new(guard))
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let removed = self.listeners.borrow_mut().by_number.remove(&self.number);
        drop(removed);
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes the events of queues to their listeners.
async fn dispatch(
    mut arriving: mpsc::UnboundedReceiver<QueueEvent>,
    listeners: Rc<RefCell<Listeners>>,
) {
    let mut run = 0_u64;
    while let Some(event) = arriving.recv().await {
        let QueueEvent {
            listener,
            plugin,
            queue,
            _permit,
        } = event;
        let ready = listeners.borrow().by_number.get(&listener).cloned();
        if let Some(ready) = ready {
            ready(plugin, queue);
            // The streams of the worker get their turn, too.
            run += 1;
            if run.is_multiple_of(EVENTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn expired(deadline: Option<Pin<Box<dyn Future<Output = ()>>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}

/// Sends a request and receives its response. Sets `begun` when the response has begun.
async fn exchange(
    pools: &Pools,
    call: HttpCall,
    kind: RequestKind,
    begun: &Cell<bool>,
    budget: &Rc<Cell<usize>>,
) -> CallOutcome {
    let HttpCall {
        authority,
        headers,
        body,
        deadline: _,
    } = call;
    let pool = pools.get(authority);
    let sent = head::check_route(&headers)
        .and_then(|()| UpstreamRequest::new(&pool, &headers, body.is_empty()));
    let mut request = match sent {
        Ok(request) => request,
        Err(failure) => return failed(&failure, kind),
    };
    request.write_data(body, true);
    let (headers, end) = match next_part(&mut request).await {
        Ok(Part::Head { fields, end }) => (fields, end),
        Ok(_) | Err(ResponseError::Incomplete) => return CallOutcome::Reset,
        Err(ResponseError::Failed(failure)) => return failed(&failure, kind),
    };
    begun.set(true);
    let received = match end {
        true => Some((Bytes::new(), Fields::new())),
        false => receive(&mut request, budget).await,
    };
    match received {
        Some((body, trailers)) => CallOutcome::Response(CallResponse {
            headers,
            body,
            trailers,
        }),
        None => CallOutcome::Reset,
    }
}

/// Sends what is left of a request, and receives the next part of the response.
async fn next_part(request: &mut UpstreamRequest) -> Result<Part, ResponseError> {
    std::future::poll_fn(|cx| {
        request.poll_send(cx)?;
        request.poll_part(cx)
    })
    .await
}

/// Receives a whole body and the trailers. Returns `None` if it breaks off, or is too large.
async fn receive(
    request: &mut UpstreamRequest,
    budget: &Rc<Cell<usize>>,
) -> Option<(Bytes, Fields)> {
    let mut data = BytesMut::new();
    let mut reserved = Reserved {
        budget: budget.clone(),
        bytes: 0,
    };
    loop {
        match next_part(request).await.ok()? {
            Part::Data(chunk) => {
                if data.len() + chunk.len() > MAX_RESPONSE_BODY || !reserved.grow(chunk.len()) {
                    tracing::debug!("the response to an HTTP call is too large");
                    return None;
                }
                data.extend_from_slice(&chunk);
            }
            Part::End => return Some((data.freeze(), Fields::new())),
            Part::Trailers(trailers) => return Some((data.freeze(), trailers)),
            // A response has one head.
            Part::Head { .. } => return None,
        }
    }
}

/// A part of the memory in which a worker buffers responses.
struct Reserved {
    budget: Rc<Cell<usize>>,
    bytes: usize,
}

impl Reserved {
    /// Reserves more. Returns `false` if nothing is left.
    fn grow(&mut self, bytes: usize) -> bool {
        let Some(left) = self.budget.get().checked_sub(bytes) else {
            return false;
        };
        self.budget.set(left);
        self.bytes += bytes;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.set(self.budget.get() + self.bytes);
    }
}

/// Returns the response of the proxy to a request that failed. As in Envoy, it depends on the kind of the request.
fn failed(failure: &Failure, kind: RequestKind) -> CallOutcome {
    tracing::debug!(
        error = failure as &dyn std::error::Error,
        "HTTP call failed"
    );
    CallOutcome::from_proxy(failure.status(), failure.body(), kind)
}
