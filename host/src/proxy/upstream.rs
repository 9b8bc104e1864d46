//! The upstream client: connections to one server, and a request on one of them.
//!
//! Each worker has its own pool, so no request waits for another worker's lock. A request is polled by the task that it
//! belongs to. All idle connections of a pool are watched by one task, which closes those that the server has closed, and
//! those that were not used for some time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::uri::Authority;
use tidegate_semantics::fields::{Fields, Pseudo};
use tidegate_semantics::vocabulary::FieldMap;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::proxy::head;
use crate::proxy::http1::body::{BodyDecoder, Decoded, End};
use crate::proxy::http1::encode::{self, BodyEncoder};
use crate::proxy::http1::{Framing, HeadError, HeadScanner, response};
use crate::proxy::respond::Failure;
use crate::proxy::socket::Socket;

/// The maximum number of requests to one server that are in progress. It is the default of Envoy's circuit breaker, which
/// counts the requests of all workers.
const MAX_REQUESTS: usize = 1024;

/// How long an idle connection is kept. It is shorter than what common servers allow, so that a request does not meet a
/// connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often idle connections that have not been used are searched for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The connections of a worker to one server.
pub(super) struct Pool {
    authority: Authority,
    max_idle: usize,
    connect_timeout: Duration,
    /// The connection that was used last is at the end.
    idle: RefCell<VecDeque<Idle>>,
    /// The number of requests in progress.
    active: Cell<usize>,
    /// Wakes the task that watches the idle connections. `None` if it does not run.
    watcher: RefCell<Option<Waker>>,
}

struct Idle {
    socket: Socket,
    since: Instant,
}

/// A request and its response.
pub(super) struct UpstreamRequest {
    pool: Rc<Pool>,
    connection: Connection,
    body: BodyEncoder,
    response: ResponseState,
    is_head_request: bool,
    /// Whether a part of the request could not be sent.
    is_broken: bool,
}

enum Connection {
    /// The output of the socket that is yet to be created.
    Connecting(
        Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>,
        PendingOutput,
    ),
    Open(Socket),
    Closed,
}

type PendingOutput = crate::proxy::http1::output::Output;

enum ResponseState {
    AwaitingHead {
        scanner: HeadScanner,
        /// Whether a part of a response has arrived on this connection.
        began: bool,
    },
    Body {
        decoder: BodyDecoder,
        /// The end, if it has been decoded together with the data before it.
        end: Option<End>,
        keeps_alive: bool,
    },
    Ended,
}

/// A part of a response.
pub(super) enum Part {
    Head {
        fields: Fields,
        /// Whether neither a body nor trailers follow.
        end: bool,
    },
    Data(Bytes),
    /// The end of the body, without trailers.
    End,
    /// The trailers, which end the response.
    Trailers(Fields),
}

/// The reason why there is no further part.
#[derive(Debug)]
pub(super) enum ResponseError {
    /// There is no response. The failure determines the one of the proxy.
    Failed(Failure),
    /// The response has begun, and breaks off.
    Incomplete,
}

// === impl Pool ===

impl Pool {
    /// Creates a pool for one server, with a maximum number of idle connections, and for establishing one a maximum time.
    pub(super) fn new(
        authority: Authority,
        max_idle: usize,
        connect_timeout: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            authority,
            max_idle,
            connect_timeout,
            active: Cell::new(0),
            idle: RefCell::default(),
            watcher: RefCell::default(),
        })
    }

    /// Begins a request. `end` means that neither a body nor trailers follow. It is sent when the request is polled.
    pub(super) fn request(
        self: &Rc<Self>,
        fields: &Fields,
        end: bool,
    ) -> Result<UpstreamRequest, Failure> {
        if self.active.get() >= MAX_REQUESTS {
            return Err(Failure::Overflow);
        }
        let mut connection = match self.take() {
            Some(socket) => Connection::Open(socket),
            None => Connection::Connecting(
                Box::pin(connect(self.authority.clone(), self.connect_timeout)),
                PendingOutput::default(),
            ),
        };
        let output = match &mut connection {
            Connection::Open(socket) => &mut socket.output,
            Connection::Connecting(_, output) => output,
            Connection::Closed => &mut PendingOutput::default(),
        };
        let body = encode::request(output, fields, end).map_err(Failure::RequestHead)?;
        self.active.set(self.active.get() + 1);
        Ok(UpstreamRequest {
            pool: self.clone(),
            connection,
            body,
            response: ResponseState::AwaitingHead {
                scanner: HeadScanner::default(),
                began: false,
            },
            // The method that is sent decides, and not the one that the client sent: plugins can change it.
            is_head_request: fields
                .pseudo(Pseudo::Method)
                .is_some_and(|method| method == "HEAD"),
            is_broken: false,
        })
    }

    /// Takes an idle connection that is still open.
    fn take(&self) -> Option<Socket> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { socket, .. }) = idle.pop_back() {
            if socket.is_idle() {
                return Some(socket);
            }
        }
        None
    }

    /// Returns a connection for other requests.
    fn put(self: &Rc<Self>, mut socket: Socket) {
        socket.release_buffers();
        let is_watched = match &*self.watcher.borrow() {
            Some(watcher) => {
                if !socket.poll_idle(&mut Context::from_waker(watcher)) {
                    return;
                }
                true
            }
            None => false,
        };
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            socket,
            since: Instant::now(),
        });
        if !is_watched {
            // Its first poll sets the waker.
            *self.watcher.borrow_mut() = Some(Waker::noop().clone());
            tokio::task::spawn_local(watch(Rc::downgrade(self)));
        }
    }

    /// Closes connections that are idle for too long, or that the server has closed. Returns whether any are left.
    fn sweep(&self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let is_fresh = |since| now.saturating_duration_since(since) < POOL_IDLE_TIMEOUT;
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|it| is_fresh(it.since) && it.socket.poll_idle(cx));
        let any_left = !idle.is_empty();
        *self.watcher.borrow_mut() = any_left.then(|| cx.waker().clone());
        any_left
    }
}

/// Watches the idle connections until none are left.
async fn watch(pool: Weak<Pool>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    std::future::poll_fn(|cx| {
        loop {
            let any_left = pool.upgrade().is_some_and(|pool| pool.sweep(cx));
            if !any_left {
                return Poll::Ready(());
            }
            ready!(interval.poll_tick(cx));
        }
    })
    .await;
}

/// Connects to a server. Tries all of its addresses.
async fn connect(authority: Authority, limit: Duration) -> io::Result<TcpStream> {
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(80);
    let connecting = async {
        let mut failure = None;
        for address in tokio::net::lookup_host((host, port)).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    };
    let stream = tokio::time::timeout(limit, connecting)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

// === impl UpstreamRequest ===

impl UpstreamRequest {
    /// Sends a part of the body.
    pub(super) fn write_data(&mut self, data: Bytes, end: bool) {
        if let Some(output) = self.connection.output() {
            self.body.data(output, data);
            if end {
                self.body.end(output, None);
            }
        }
    }

    /// Sends the trailers, which end the request.
    pub(super) fn write_trailers(&mut self, trailers: &Fields) {
        if let Some(output) = self.connection.output() {
            self.body.end(output, Some(trailers));
        }
    }

    /// Returns the announced and the actual length of the body, if they differ.
    pub(super) fn wrong_length(&self) -> Option<(u64, u64)> {
        self.body.wrong_length()
    }

    /// Returns whether the request has been written to its end.
    pub(super) fn has_been_sent(&self) -> bool {
        self.body.has_ended()
    }

    /// Returns how many bytes wait to be sent.
    pub(super) fn queued(&self) -> usize {
        match &self.connection {
            Connection::Connecting(_, output) => output.len(),
            Connection::Open(socket) => socket.output.len(),
            Connection::Closed => 0,
        }
    }

    /// Connects, and sends what is queued, as far as possible.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), ResponseError> {
        if let Connection::Connecting(connecting, output) = &mut self.connection {
            match connecting.as_mut().poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(stream)) => {
                    let mut socket = Socket::new(stream);
                    socket.output = std::mem::take(output);
                    self.connection = Connection::Open(socket);
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot connect");
                    self.close();
                    return Err(ResponseError::Failed(match error.kind() {
                        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
                        _ => Failure::Connect,
                    }));
                }
            }
        }
        if let Connection::Open(socket) = &mut self.connection
            && let Poll::Ready(Err(error)) = socket.poll_flush(cx)
        {
            // The server may have responded before it closed the connection, so the response is still read.
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot send");
            socket.output.clear();
            self.is_broken = true;
        }
        Ok(())
    }

    /// Receives the next part of the response. Must not be called after its end.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, ResponseError>> {
        loop {
            match self.decode() {
                Ok(Some(part)) => return Poll::Ready(Ok(part)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "invalid response");
                    return Poll::Ready(Err(self.fail(Failure::Protocol)));
                }
            }
            let Connection::Open(socket) = &mut self.connection else {
                return match self.connection {
                    Connection::Connecting(..) => Poll::Pending,
                    _ => Poll::Ready(Err(ResponseError::Incomplete)),
                };
            };
            match ready!(socket.poll_read(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(self.end_of_connection()),
                Ok(_) => {
                    if let ResponseState::AwaitingHead { began, .. } = &mut self.response {
                        *began = true;
                    }
                }
            }
        }
    }

    /// Returns whether the head of the response has not been received yet.
    pub(super) fn awaits_head(&self) -> bool {
        matches!(self.response, ResponseState::AwaitingHead { .. })
    }

    /// Decodes what has been received. Returns `None` if more is needed.
    fn decode(&mut self) -> Result<Option<Part>, HeadError> {
        let Connection::Open(socket) = &mut self.connection else {
            return Ok(None);
        };
        loop {
            match &mut self.response {
                ResponseState::AwaitingHead { scanner, began } => {
                    let Some(received) =
                        response::decode(&mut socket.input, scanner, self.is_head_request)?
                    else {
                        return Ok(None);
                    };
                    if received.status.is_informational() {
                        if received.status == StatusCode::SWITCHING_PROTOCOLS {
                            return Err(HeadError::Malformed(
                                "the protocol is switched, although the request does not ask for it",
                            ));
                        }
                        // As in Envoy, interim responses are not forwarded.
                        *began = !socket.input.is_empty();
                        continue;
                    }
                    let end = received.framing == Framing::None;
                    self.response = if end {
                        self.finished(received.keeps_alive);
                        ResponseState::Ended
                    } else {
                        ResponseState::Body {
                            decoder: BodyDecoder::new(received.framing),
                            end: None,
                            keeps_alive: received.keeps_alive,
                        }
                    };
                    let fields = head::response_in(received.fields);
                    return Ok(Some(Part::Head { fields, end }));
                }
                ResponseState::Body {
                    decoder,
                    end,
                    keeps_alive,
                } => {
                    if end.is_none() {
                        let Decoded { data, end: reached } =
                            decoder.decode(&mut socket.input, FieldMap::ResponseTrailers)?;
                        *end = reached;
                        if !data.is_empty() {
                            return Ok(Some(Part::Data(data)));
                        }
                    }
                    let part = match end.take() {
                        None => return Ok(None),
                        Some(End::Body) => Part::End,
                        Some(End::Trailers(trailers)) => Part::Trailers(trailers),
                    };
                    let keeps_alive = *keeps_alive;
                    self.response = ResponseState::Ended;
                    self.finished(keeps_alive);
                    return Ok(Some(part));
                }
                ResponseState::Ended => return Ok(None),
            }
        }
    }

    /// Returns the connection to the pool, or closes it, because the response is complete.
    fn finished(&mut self, keeps_alive: bool) {
        if let Connection::Open(socket) =
            std::mem::replace(&mut self.connection, Connection::Closed)
        {
            // What follows the response was not asked for. An unfinished request cannot be followed by another one.
            let reusable = keeps_alive
                && !self.is_broken
                && socket.input.is_empty()
                && socket.output.is_empty()
                && self.body.has_ended()
                && self.body.wrong_length().is_none();
            if reusable {
                self.pool.put(socket);
            }
        }
    }

    /// Processes the end of the connection.
    fn end_of_connection(&mut self) -> Result<Part, ResponseError> {
        match &mut self.response {
            ResponseState::AwaitingHead { began: true, .. } => Err(self.fail(Failure::Protocol)),
            ResponseState::AwaitingHead { began: false, .. } => Err(self.fail(Failure::Disconnect)),
            ResponseState::Body { decoder, .. } => {
                let complete = decoder.close();
                self.close();
                match complete {
                    true => Ok(Part::End),
                    false => Err(ResponseError::Incomplete),
                }
            }
            ResponseState::Ended => Err(ResponseError::Incomplete),
        }
    }

    /// Closes the connection. If no response has begun, the failure determines the one of the proxy.
    fn fail(&mut self, failure: Failure) -> ResponseError {
        let awaits_head = self.awaits_head();
        self.close();
        match awaits_head {
            true => ResponseError::Failed(failure),
            false => ResponseError::Incomplete,
        }
    }

    fn close(&mut self) {
        self.connection = Connection::Closed;
        self.response = ResponseState::Ended;
    }
}

impl Drop for UpstreamRequest {
    fn drop(&mut self) {
        let active = &self.pool.active;
        active.set(active.get().saturating_sub(1));
    }
}

// === impl Connection ===

impl Connection {
    /// Returns where bytes are queued, unless they can no longer be sent.
    fn output(&mut self) -> Option<&mut PendingOutput> {
        match self {
            Self::Connecting(_, output) => Some(output),
            Self::Open(socket) => Some(&mut socket.output),
            Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn requests_in_progress_are_limited() {
        let pool = Pool::new(Authority::from_static("127.0.0.1:1"), 1, Duration::ZERO);
        let mut fields = Fields::new();
        fields.set_pseudo(Pseudo::Method, HeaderValue::from_static("GET"));
        fields.set_pseudo(Pseudo::Path, HeaderValue::from_static("/"));
        let request = || pool.request(&fields, true);
        let mut requests: Vec<_> = (0..MAX_REQUESTS).map(|_| request()).collect();
        assert!(requests.iter().all(Result::is_ok));
        assert!(matches!(request(), Err(Failure::Overflow)));
        requests.pop();
        assert!(request().is_ok());
    }
}
