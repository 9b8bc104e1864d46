//! The worker's port: sends the HTTP calls of plugins, runs their timers, and passes them the events of queues.
//!
//! All of these are tasks of the worker's thread. A task that is no longer wanted is aborted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tidegate_semantics::fields::Fields;
use tidegate_semantics::port::{
    CallOutcome, CallResponse, HttpCall, Pending, Port, PortState, QueueListener,
};
use tidegate_semantics::shared_queues::EventPermit;
use tidegate_semantics::state::local_response::RequestKind;
use tidegate_semantics::vocabulary::FieldMap;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use crate::clock::Clock;
use crate::proxy::respond::Failure;
use crate::proxy::{head, upstream};

/// The maximum size of the body of a response, in bytes. It is Envoy's default.
const MAX_RESPONSE_BODY: usize = 32 << 20;

/// The maximum size of the bodies of all responses that a worker receives at the same time, in bytes.
const MAX_RESPONSES: usize = 256 << 20;

/// The number of events of queues after which other tasks of the worker run.
const EVENTS_AT_ONCE: u64 = 16;

/// The maximum number of idle connections to one service.
const MAX_IDLE_CONNECTIONS: usize = 32;

/// The port of a worker of the proxy.
pub(super) struct WorkerPort {
    /// Gone when the worker has stopped. What plugins request then is dropped.
    tasks: Weak<LocalSet>,
    clock: Arc<dyn Clock>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// How many bytes of responses can still be buffered.
    response_budget: Rc<Cell<usize>>,
    /// Carries the events of queues from other threads to this one.
    events: mpsc::UnboundedSender<QueueEvent>,
    listeners: Rc<RefCell<Listeners>>,
    state: PortState,
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
            clock,
            client: upstream::client(MAX_IDLE_CONNECTIONS),
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

impl Port for WorkerPort {
    fn state(&self) -> &PortState {
        &self.state
    }

    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        let (client, budget) = (self.client.clone(), self.response_budget.clone());
        let deadline = call.deadline.map(|at| self.clock.sleep_until(at));
        self.spawn(async move {
            let begun = Cell::new(false);
            let kind = RequestKind::from_headers(&call.headers);
            let outcome = tokio::select! {
                outcome = exchange(client, call, kind, &begun, &budget) => outcome,
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
    client: Client<HttpConnector, Full<Bytes>>,
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
    let head = match head::request_out(headers, body.is_empty()) {
        Ok(head) => upstream::address(head, authority),
        Err(failure) => return failed(&failure, kind),
    };
    let response = match client
        .request(Request::from_parts(head, Full::new(body)))
        .await
    {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            return failed(&Failure::Protocol, kind);
        }
        Ok(response) => response,
        Err(error) => return failed(&Failure::from_upstream_error(&error), kind),
    };
    begun.set(true);
    let (headers, body) = head::response_in(response);
    match receive(body, budget).await {
        Some((body, trailers)) => CallOutcome::Response(CallResponse {
            headers,
            body,
            trailers,
        }),
        None => CallOutcome::Reset,
    }
}

/// Receives a whole body and the trailers. Returns `None` if it breaks off, or is too large.
async fn receive(mut body: Incoming, budget: &Rc<Cell<usize>>) -> Option<(Bytes, Fields)> {
    let mut data = BytesMut::new();
    let mut reserved = Reserved {
        budget: budget.clone(),
        bytes: 0,
    };
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "HTTP call reset");
                return None;
            }
        };
        match frame.into_data() {
            Ok(chunk) => {
                if data.len() + chunk.len() > MAX_RESPONSE_BODY || !reserved.grow(chunk.len()) {
                    tracing::debug!("the response to an HTTP call is too large");
                    return None;
                }
                data.extend_from_slice(&chunk);
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let trailers = Fields::from_trailers(trailers, FieldMap::ResponseTrailers);
    Some((data.freeze(), trailers))
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
