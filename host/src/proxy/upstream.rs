//! A request to an upstream and its response, on a connection of a [`Pool`]. It is polled by the task that it belongs to.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use tidegate_semantics::fields::{Fields, Pseudo};
use tidegate_semantics::vocabulary::FieldMap;

use crate::proxy::head;
use crate::proxy::http1::body::{BodyDecoder, Decoded, End};
use crate::proxy::http1::encode::{self, BodyEncoder};
use crate::proxy::http1::output::Output;
use crate::proxy::http1::{Framing, HeadError, HeadScanner, response};
use crate::proxy::pool::{Acquired, Connecting, InUse, Pool, Waiting};
use crate::proxy::respond::Failure;
use crate::proxy::socket::Socket;

/// A request and its response.
pub(super) struct UpstreamRequest {
    connection: Connection,
    body: BodyEncoder,
    response: ResponseState,
    is_head_request: bool,
    /// Whether a part of the request could not be sent.
    is_broken: bool,
}

enum Connection {
    /// What is not open yet has the output of the socket that it becomes.
    Waiting(Waiting, Output),
    Connecting(Connecting, Output),
    Open(Socket, InUse),
    Closed,
}

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

// === impl UpstreamRequest ===

impl UpstreamRequest {
    /// Begins a request. `end` means that neither a body nor trailers follow. It is sent when the request is polled.
    pub(super) fn new(pool: &Rc<Pool>, fields: &Fields, end: bool) -> Result<Self, Failure> {
        // A request that cannot be sent takes no connection.
        let mut output = Output::default();
        let body = encode::request(&mut output, fields, end).map_err(Failure::RequestHead)?;
        Ok(Self {
            connection: Connection::new(pool.acquire()?, output),
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
            Connection::Waiting(_, output) | Connection::Connecting(_, output) => output.len(),
            Connection::Open(socket, _) => socket.output.len(),
            Connection::Closed => 0,
        }
    }

    /// Waits for a connection, and sends what is queued, as far as possible.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), ResponseError> {
        loop {
            let (acquired, output) = match &mut self.connection {
                Connection::Waiting(waiting, output) => (waiting.poll(cx), output),
                Connection::Connecting(connecting, output) => (connecting.poll(cx), output),
                Connection::Open(..) | Connection::Closed => break,
            };
            match acquired {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(acquired)) => {
                    let output = std::mem::take(output);
                    self.connection = Connection::new(acquired, output);
                }
                Poll::Ready(Err(failure)) => {
                    self.close();
                    return Err(ResponseError::Failed(failure));
                }
            }
        }
        if let Connection::Open(socket, _) = &mut self.connection
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
            let Connection::Open(socket, _) = &mut self.connection else {
                return match self.connection {
                    Connection::Waiting(..) | Connection::Connecting(..) => Poll::Pending,
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
        let Connection::Open(socket, _) = &mut self.connection else {
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
        if let Connection::Open(socket, in_use) =
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
                in_use.put(socket);
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

// === impl Connection ===

impl Connection {
    fn new(acquired: Acquired, output: Output) -> Self {
        match acquired {
            Acquired::Waiting(waiting) => Self::Waiting(waiting, output),
            Acquired::Connecting(connecting) => Self::Connecting(connecting, output),
            Acquired::Open(mut socket, in_use) => {
                socket.output = output;
                Self::Open(socket, in_use)
            }
        }
    }

    /// Returns where bytes are queued, unless they can no longer be sent.
    fn output(&mut self) -> Option<&mut Output> {
        match self {
            Self::Waiting(_, output) | Self::Connecting(_, output) => Some(output),
            Self::Open(socket, _) => Some(&mut socket.output),
            Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::uri::Authority;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::*;
    use crate::clock::ManualClock;
    use crate::proxy::circuit_breakers::CircuitBreakers;

    fn fields() -> Fields {
        let mut fields = Fields::new();
        fields.set_pseudo(Pseudo::Method, HeaderValue::from_static("GET"));
        fields.set_pseudo(Pseudo::Path, HeaderValue::from_static("/"));
        fields
    }

    fn pool(port: u16, limits: CircuitBreakers) -> Rc<Pool> {
        let authority = Authority::try_from(format!("127.0.0.1:{port}")).expect("an authority");
        let clock = Arc::new(ManualClock::new(1));
        Pool::new(authority, 1, Duration::from_secs(1), clock, limits)
    }

    #[test]
    fn requests_that_wait_for_a_connection_are_limited() {
        let limits = CircuitBreakers::default();
        let pool = pool(1, limits);
        let request = || UpstreamRequest::new(&pool, &fields(), true);
        let mut requests: Vec<_> = (0..limits.max_pending_requests)
            .map(|_| request())
            .collect();
        assert!(requests.iter().all(Result::is_ok));
        assert!(matches!(request(), Err(Failure::Overflow)));
        requests.pop();
        assert!(request().is_ok());
    }

    #[test]
    fn request_that_cannot_be_sent_takes_no_place() {
        let limits = CircuitBreakers {
            max_pending_requests: 1,
            ..CircuitBreakers::default()
        };
        let pool = pool(1, limits);
        let _first = UpstreamRequest::new(&pool, &fields(), true).expect("a place");
        let invalid = UpstreamRequest::new(&pool, &Fields::new(), true);
        assert!(matches!(invalid, Err(Failure::RequestHead(_))));
    }

    /// Polls a request once.
    async fn send(request: &mut UpstreamRequest) -> bool {
        let send = std::future::poll_fn(|cx| Poll::Ready(request.poll_send(cx)));
        send.await.is_ok()
    }

    #[tokio::test]
    async fn connections_are_limited_and_pass_to_the_requests_that_wait() {
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let port = listener.local_addr().expect("an address").port();
                let limits = CircuitBreakers {
                    max_connections: 1,
                    max_pending_requests: 2,
                    ..CircuitBreakers::default()
                };
                let pool = pool(port, limits);
                let request = || UpstreamRequest::new(&pool, &fields(), true);
                let mut first = request().expect("a connection");
                let mut second = request().expect("a place");
                assert!(matches!(request(), Err(Failure::Overflow)));
                let is_open = |it: &UpstreamRequest| matches!(it.connection, Connection::Open(..));
                while !is_open(&first) {
                    assert!(send(&mut first).await);
                    tokio::task::yield_now().await;
                }
                // A request that is given up makes room for another one, which is the second then.
                let given_up = request().expect("a place");
                assert!(matches!(request(), Err(Failure::Overflow)));
                drop(given_up);
                let mut third = request().expect("a place");
                assert!(send(&mut second).await && send(&mut third).await);
                assert!(!is_open(&second));
                first.finished(true);
                drop(first);
                // It is not its turn.
                assert!(send(&mut third).await);
                assert!(!is_open(&third));
                // It gets the connection that exists.
                assert!(send(&mut second).await);
                assert!(is_open(&second));
                drop(second);
                // It needs a new one.
                while !is_open(&third) {
                    assert!(send(&mut third).await);
                    tokio::task::yield_now().await;
                }
            })
            .await;
    }
}
