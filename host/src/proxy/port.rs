//! The worker's port: sends the HTTP calls of plugins, runs their timers, and passes them the events of queues.
//!
//! All of these are tasks of the worker's thread. A task that is no longer wanted is aborted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use crate::clock::Clock;
use crate::fields::{Fields, Pseudo, status_value};
use crate::port::{CallOutcome, CallResponse, HttpCall, Pending, Port, QueueListener};
use crate::proxy::respond::Failure;
use crate::proxy::{head, upstream};
use crate::vocabulary::FieldMap;

/// The maximum size of the body of a response, in bytes. It is Envoy's default.
const MAX_RESPONSE_BODY: usize = 32 << 20;

/// The port of a worker of the proxy.
pub(super) struct WorkerPort {
    /// Gone when the worker has stopped. What plugins request then is dropped.
    tasks: Weak<LocalSet>,
    clock: Arc<dyn Clock>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Carries the events of queues from other threads to this one.
    events: mpsc::UnboundedSender<QueueEvent>,
    listeners: Rc<RefCell<Listeners>>,
}

/// A value has been added to a queue.
struct QueueEvent {
    listener: u64,
    plugin: usize,
    queue: u32,
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
            client: upstream::client(),
            events,
            listeners,
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
    fn send(&self, call: HttpCall, done: Box<dyn FnOnce(CallOutcome)>) -> Pending {
        let client = self.client.clone();
        let deadline = call.deadline.map(|at| self.clock.sleep_until(at));
        self.spawn(async move {
            let begun = Cell::new(false);
            let outcome = tokio::select! {
                outcome = exchange(client, call, &begun) => outcome,
                () = expired(deadline) => match begun.get() {
                    true => CallOutcome::Reset,
                    false => timed_out(),
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
        let listener = move |plugin, queue| {
            // The worker may have stopped. Then nobody listens.
            let _ = events.send(QueueEvent {
                listener: number,
                plugin,
                queue,
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
    while let Some(event) = arriving.recv().await {
        let QueueEvent {
            listener,
            plugin,
            queue,
        } = event;
        let ready = listeners.borrow().by_number.get(&listener).cloned();
        if let Some(ready) = ready {
            ready(plugin, queue);
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
    begun: &Cell<bool>,
) -> CallOutcome {
    let HttpCall {
        authority,
        headers,
        body,
        deadline: _,
    } = call;
    let head = match head::request_out(headers, body.is_empty()) {
        Ok(head) => upstream::address(head, authority),
        Err(failure) => return failed(&failure),
    };
    let response = match client
        .request(Request::from_parts(head, Full::new(body)))
        .await
    {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            return failed(&Failure::Protocol);
        }
        Ok(response) => response,
        Err(error) => return failed(&Failure::from_upstream_error(&error)),
    };
    begun.set(true);
    let (headers, body) = head::response_in(response);
    match receive(body).await {
        Some((body, trailers)) => CallOutcome::Response(CallResponse {
            headers,
            body,
            trailers,
        }),
        None => CallOutcome::Reset,
    }
}

/// Receives a whole body and the trailers. Returns `None` if it breaks off, or is too large.
async fn receive(body: Incoming) -> Option<(Bytes, Fields)> {
    let collected = match Limited::new(body, MAX_RESPONSE_BODY).collect().await {
        Ok(collected) => collected,
        Err(error) => {
            tracing::debug!(error = &*error, "HTTP call reset");
            return None;
        }
    };
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let trailers = Fields::from_trailers(trailers, FieldMap::ResponseTrailers);
    Some((collected.to_bytes(), trailers))
}

fn failed(failure: &Failure) -> CallOutcome {
    tracing::debug!(
        error = failure as &dyn std::error::Error,
        "HTTP call failed"
    );
    generated(failure.status(), failure.body())
}

fn timed_out() -> CallOutcome {
    let body = Bytes::from_static(b"upstream request timeout");
    generated(StatusCode::GATEWAY_TIMEOUT, body)
}

/// Returns a response of the proxy itself. Its headers are those of Envoy.
fn generated(status: StatusCode, body: Bytes) -> CallOutcome {
    let mut headers = Fields::new();
    headers.set_pseudo(Pseudo::Status, status_value(status));
    if !body.is_empty() {
        headers.append(CONTENT_LENGTH.into(), HeaderValue::from(body.len()));
        headers.append(CONTENT_TYPE.into(), HeaderValue::from_static("text/plain"));
    }
    CallOutcome::Response(CallResponse {
        headers,
        body,
        trailers: Fields::new(),
    })
}
