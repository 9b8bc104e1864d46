//! A downstream connection: reads requests, one after the other, and closes the connection in such a way that the last
//! response arrives.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tidegate_semantics::attributes;
use tidegate_semantics::fields::{Fields, Pseudo};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::proxy::alarm::Alarm;
use crate::proxy::exchange::{Exchange, Next, write_response};
use crate::proxy::head::{self, Accepted};
use crate::proxy::http1::encode::{self, ResponseOptions};
use crate::proxy::http1::request::{self, RequestHead};
use crate::proxy::http1::{Framing, HeadScanner};
use crate::proxy::profile::{Downstream, random_id};
use crate::proxy::respond::Failure;
use crate::proxy::socket::{OUTPUT_LIMIT, Socket};
use crate::proxy::timeouts::nanoseconds;
use crate::proxy::worker_state::{TaskWaker, WorkerState};

/// How long a connection must have been idle to be closed when the worker stops. A client that has just received a
/// response may send its next request at this moment, and would have to send it again.
const DRAIN_IDLE_TIME: Duration = Duration::from_secs(1);

/// How long a client may take to read what is queued when the connection is closed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves a connection until it is closed.
pub(super) async fn serve(
    state: Rc<WorkerState>,
    socket: Socket,
    info: attributes::Connection,
    waker: Rc<TaskWaker>,
) {
    let wake: Rc<dyn Fn()> = {
        let waker = waker.clone();
        Rc::new(move || waker.wake())
    };
    let mut connection = Connection {
        state,
        socket,
        info,
        waker,
        wake,
        alarm: Alarm::default(),
        drain: None,
    };
    while connection.serve_request().await == Next::Request {
        // Requests that are answered without waiting must not keep the other connections waiting.
        tokio::task::coop::consume_budget().await;
    }
}

struct Connection {
    state: Rc<WorkerState>,
    socket: Socket,
    info: attributes::Connection,
    waker: Rc<TaskWaker>,
    wake: Rc<dyn Fn()>,
    alarm: Alarm,
    /// Fires when an idle connection is closed because the worker stops.
    drain: Option<Pin<Box<Sleep>>>,
}

/// What was received before a request.
enum Received {
    /// A head, and when its first part was received.
    Request(RequestHead, u64),
    /// The request has to be rejected.
    Invalid(Failure),
    /// The client has closed the connection, or the proxy has to.
    Nothing,
}

/// When the wait for a request began.
struct Began {
    /// In real time, which passes while the worker stops.
    idle: Instant,
    /// On the clock of the proxy, as all that follows.
    waiting: u64,
    /// When a part of the head was received.
    head: Option<u64>,
    /// When the client read something of what is queued for it.
    flushing: u64,
    /// The number of bytes that were queued then.
    queued: usize,
}

// === impl Connection ===

impl Connection {
    async fn serve_request(&mut self) -> Next {
        let (mut head, began) = match self.receive_head().await {
            Received::Request(head, began) => (head, began),
            Received::Invalid(failure) => {
                tracing::debug!(
                    error = &failure as &dyn std::error::Error,
                    "invalid request"
                );
                let (fields, body) = failure.response();
                self.write_response(fields, body, false, true);
                self.close().await;
                return Next::Close;
            }
            Received::Nothing => return Next::Gone,
        };
        let next = match head::request_in(&mut head) {
            Ok(accepted) => self.exchange(head, began, accepted).await,
            Err(failure) => {
                tracing::debug!(
                    error = &failure as &dyn std::error::Error,
                    "request rejected"
                );
                let response = failure.response();
                self.reject(head, response, true)
            }
        };
        if next == Next::Close {
            self.close().await;
        }
        next
    }

    /// Receives a request head. Sends what is left of the response before.
    async fn receive_head(&mut self) -> Received {
        let mut scanner = HeadScanner::default();
        let now = self.state.clock.monotonic();
        let mut began = Began {
            idle: Instant::now(),
            waiting: now,
            head: None,
            flushing: now,
            queued: usize::MAX,
        };
        poll_fn(|cx| self.poll_head(cx, &mut scanner, &mut began)).await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        scanner: &mut HeadScanner,
        began: &mut Began,
    ) -> Poll<Received> {
        self.waker.register(cx);
        loop {
            // A client that does not read its responses gets no further ones.
            let flushed = self.socket.poll_flush(cx);
            if let Poll::Ready(Err(_)) = flushed {
                return Poll::Ready(Received::Nothing);
            }
            let queued = self.socket.output.len();
            if queued < began.queued {
                began.flushing = self.state.clock.monotonic();
            }
            began.queued = queued;
            if queued >= OUTPUT_LIMIT {
                return self.poll_unread(cx, began).map(|()| Received::Nothing);
            }
            let has_input = !self.socket.input.is_empty();
            match request::decode(&mut self.socket.input, scanner) {
                Ok(Some(head)) => {
                    let first = began.head.unwrap_or_else(|| self.state.clock.monotonic());
                    return Poll::Ready(Received::Request(head, first));
                }
                // As in Envoy, an empty line before the head is the start of the request.
                Ok(None) if has_input && began.head.is_none() => {
                    began.head = Some(self.state.clock.monotonic());
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Received::Invalid(Failure::Request(error))),
            }
            match self.socket.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Received::Nothing),
                Poll::Pending => {
                    self.socket.release_buffers();
                    // When the worker stops, an empty line does not keep an idle connection open.
                    let is_idle = self.state.is_draining() && self.socket.input.is_empty();
                    return if let Some(since) = began.head.filter(|_| !is_idle) {
                        self.poll_incomplete(cx, since).map(Received::Invalid)
                    } else if flushed.is_pending() {
                        self.poll_unread(cx, began).map(|()| Received::Nothing)
                    } else {
                        self.poll_idle(cx, began).map(|()| Received::Nothing)
                    };
                }
            }
        }
    }

    /// Waits until an idle connection has to be closed.
    fn poll_idle(&mut self, cx: &mut Context<'_>, began: &Began) -> Poll<()> {
        if self.state.is_draining() {
            let at = began.idle + DRAIN_IDLE_TIME;
            let drain = self.drain.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if drain.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        match self.state.timeouts.idle_timeout {
            Some(limit) => self.poll_alarm(cx, began.waiting, limit),
            None => Poll::Pending,
        }
    }

    /// Waits until the client takes too long to read what is queued.
    fn poll_unread(&mut self, cx: &mut Context<'_>, began: &Began) -> Poll<()> {
        match self.state.timeouts.stream_idle_timeout {
            Some(limit) => self.poll_alarm(cx, began.flushing, limit),
            None => Poll::Pending,
        }
    }

    /// Waits until the rest of a head takes too long.
    fn poll_incomplete(&mut self, cx: &mut Context<'_>, since: u64) -> Poll<Failure> {
        let timeouts = &self.state.timeouts;
        let limits = [
            (
                timeouts.request_headers_timeout,
                Failure::RequestHeadTimeout,
            ),
            (timeouts.request_timeout, Failure::RequestTimeout),
            (timeouts.stream_idle_timeout, Failure::RequestIdle),
        ];
        let limits = limits.into_iter();
        let set = limits.filter_map(|(limit, failure)| Some((limit?, failure)));
        match set.min_by_key(|(limit, _)| *limit) {
            Some((limit, failure)) => self.poll_alarm(cx, since, limit).map(|()| failure),
            None => Poll::Pending,
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>, since: u64, limit: Duration) -> Poll<()> {
        let at = since.saturating_add(nanoseconds(limit));
        self.alarm.poll(cx, &*self.state.clock, at)
    }

    async fn exchange(&mut self, mut head: RequestHead, began: u64, accepted: Accepted) -> Next {
        let downstream = Downstream {
            peer: self.info.source,
            has_absolute_target: head.has_absolute_target,
        };
        let edge = self.state.edge;
        let source = match edge.on_request(&mut head.fields, &downstream, random_id) {
            Ok(source) => source,
            Err(rejection) => {
                tracing::debug!(
                    error = &rejection as &dyn std::error::Error,
                    "request rejected"
                );
                let response = rejection.response(&head.fields);
                return self.reject(head, response, accepted.closes || rejection.closes());
            }
        };
        let info = attributes::Connection {
            source,
            ..self.info
        };
        if accepted.expects_continue {
            encode::continue_response(&mut self.socket.output);
        }
        let chain = self.state.chain.borrow().clone();
        let mut exchange = Box::new(Exchange::open(
            &self.state,
            &chain,
            self.wake.clone(),
            info,
            head,
            began,
            accepted.closes,
        ));
        drop(chain);
        poll_fn(|cx| {
            self.waker.register(cx);
            exchange.poll(cx, &mut self.socket, &self.state, &mut self.alarm)
        })
        .await
    }

    /// Responds to a request that no plugin sees, except in its log callback.
    fn reject(&mut self, head: RequestHead, response: (Fields, Bytes), closes: bool) -> Next {
        let (fields, body) = response;
        let method = head.fields.pseudo(Pseudo::Method);
        let is_head_request = method.is_some_and(|method| method == "HEAD");
        // The rest of the request is not read.
        let closes = closes || self.state.is_draining() || head.framing != Framing::None;
        let sent = self.write_response(fields, body, is_head_request, closes);
        let mut stream = self.state.chain.borrow().clone().open(Rc::new(|| ()));
        stream.set_connection(attributes::Connection {
            version: head.version,
            ..self.info
        });
        stream.record_rejection(head.fields, sent);
        stream.finish();
        match closes {
            true => Next::Close,
            false => Next::Request,
        }
    }

    /// Writes a response of the proxy. Returns its fields.
    fn write_response(
        &mut self,
        mut fields: Fields,
        body: Bytes,
        to_head_request: bool,
        close: bool,
    ) -> Fields {
        self.state.edge.on_response(&mut fields);
        let options = ResponseOptions {
            to_head_request,
            close,
        };
        write_response(&mut self.socket, &fields, body, options);
        fields
    }

    /// Sends what is queued, and closes the connection.
    ///
    /// Closing a socket with unread input resets the connection. A client that is still sending, because the response
    /// arrived before the request was complete, might then never see that response. The connection is therefore closed in
    /// two steps: the write side is shut down, and further input is discarded until the client closes the connection or
    /// a timeout expires.
    async fn close(&mut self) {
        while !self.socket.output.is_empty() {
            let queued = self.socket.output.len();
            // The client has as long as that for each part.
            let flushed = timeout(FLUSH_TIMEOUT, poll_fn(|cx| self.socket.poll_flush(cx))).await;
            let has_progressed = self.socket.output.len() < queued;
            if matches!(flushed, Ok(Err(_))) || !has_progressed {
                return;
            }
        }
        if poll_fn(|cx| self.socket.poll_shutdown(cx)).await.is_ok() {
            let discarded = pin!(poll_fn(|cx| self.socket.poll_discard(cx)));
            // Either way, the connection is closed now.
            _ = timeout(self.state.timeouts.delayed_close_timeout, discarded).await;
        }
    }
}
