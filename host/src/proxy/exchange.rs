//! One request and its response: connects hyper on both sides with the stream, which implements the semantics.
//!
//! An exchange is polled, never spawned, by the connection's task: first as the service's future until the response
//! head is available, then as the response body. Each poll applies the effects of the stream, passes one chunk
//! downstream if there is one, and otherwise feeds the stream from whichever side has data. Each direction holds one
//! chunk and does not read further until it has been forwarded. This is the only back-pressure mechanism.
//!
//! As a consequence, the proxy stops reading the request of a client that does not read its response. Envoy would
//! continue to read it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;

use crate::attributes::Connection;
use crate::fields::Fields;
use crate::proxy::head;
use crate::proxy::linger::UnreadRequest;
use crate::proxy::pipe::{PipeBody, Writer, pipe};
use crate::proxy::respond::Failure;
use crate::proxy::upstream::UpstreamClient;
use crate::runtime::WorkerChain;
use crate::stream::{Effect, Stream};
use crate::vocabulary::FieldMap;

/// What the streams of one worker share.
pub(super) struct WorkerState {
    /// What new streams go through. Those that are under way hold what they began with.
    pub(super) chain: RefCell<WorkerChain>,
    pub(super) upstream: UpstreamClient,
}

/// The stream was reset, upstream broke off, or downstream has gone: there is no whole response. hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the stream was broken off")]
pub(super) struct StreamReset;

/// A response's body as hyper's server takes it.
pub(super) enum ResponseBody {
    /// All there is, perhaps nothing.
    Whole(Bytes),
    /// What is still to come.
    Coming(Box<Exchange>),
}

/// A request and its response on their way.
pub(super) struct Exchange {
    state: Rc<WorkerState>,
    unread: UnreadRequest,
    /// None once the response has been handed on to its end.
    stream: Option<Stream>,
    wake: Rc<Wake>,
    /// What downstream still sends.
    request: Option<Incoming>,
    /// What upstream has not taken yet.
    to_upstream: VecDeque<ToUpstream>,
    upload: Option<Writer>,
    response: UpstreamResponse,
    /// What downstream has not taken yet.
    to_downstream: VecDeque<ToDownstream>,
    reset: bool,
    /// hyper has had the occasion to send what it was given before the reset.
    flushed: bool,
}

/// Runs one request through the plugins and upstream, until its response's head.
pub(super) async fn serve(
    state: Rc<WorkerState>,
    connection: Connection,
    unread: UnreadRequest,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, StreamReset> {
    let connection = Connection {
        version: request.version(),
        ..connection
    };
    let whole = request.body().is_end_stream();
    let to_head = request.method() == Method::HEAD;
    let (fields, body) = match head::request_in(request) {
        Ok(taken) => taken,
        Err(refused) => {
            let head::Refused { failure, fields } = *refused;
            tracing::debug!(
                error = &failure as &dyn std::error::Error,
                "request rejected"
            );
            if !whole {
                unread.mark();
            }
            let response = failure.response();
            let mut stream = state.chain.borrow().clone().open(Rc::new(|| ()));
            stream.connected(connection);
            stream.refused(fields, Fields::from_response(response.clone()).0);
            stream.finish();
            return Ok(response.map(ResponseBody::Whole));
        }
    };
    let mut exchange = Box::new(Exchange::open(state, connection, unread, fields, body));
    let next = std::future::poll_fn(|cx| exchange.poll_next(cx)).await?;
    let (fields, end) = match next {
        ToDownstream::Head { fields, end } => (fields, end),
        // The stream gives the head first; without one there is nothing that could be sent.
        ToDownstream::Body { .. } | ToDownstream::Trailers(_) => return Err(StreamReset),
    };
    match head::response_out(fields, end, to_head) {
        Ok(response) => Ok(response.map(|()| match end {
            true => ResponseBody::Whole(Bytes::new()),
            false => ResponseBody::Coming(exchange),
        })),
        Err(failure) => {
            tracing::warn!(
                error = &failure as &dyn std::error::Error,
                "response rejected"
            );
            Ok(failure.response().map(ResponseBody::Whole))
        }
    }
}

/// The other side's half of the exchange.
enum UpstreamResponse {
    /// Nothing has been asked.
    Unasked,
    /// The request is on its way.
    Awaited(ResponseFuture),
    /// The head has come.
    Body(Incoming),
    /// Nothing more comes, or nothing more is wanted.
    Over,
}

enum ToUpstream {
    Data { data: Bytes, end: bool },
    Trailers(HeaderMap),
}

enum ToDownstream {
    Head { fields: Fields, end: bool },
    Body { data: Bytes, end: bool },
    Trailers(HeaderMap),
}

// === impl Exchange ===

impl Exchange {
    fn open(
        state: Rc<WorkerState>,
        connection: Connection,
        unread: UnreadRequest,
        fields: Fields,
        body: Incoming,
    ) -> Self {
        let wake = Rc::new(Wake::default());
        let chain = state.chain.borrow().clone();
        let mut stream = chain.open({
            let wake = Rc::clone(&wake);
            Rc::new(move || wake.wake())
        });
        let end = body.is_end_stream();
        stream.connected(connection);
        stream.request_headers(fields, end);
        Self {
            state,
            unread,
            stream: Some(stream),
            wake,
            request: (!end).then_some(body),
            to_upstream: VecDeque::new(),
            upload: None,
            response: UpstreamResponse::Unasked,
            to_downstream: VecDeque::new(),
            reset: false,
            flushed: false,
        }
    }

    /// The next piece for downstream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ToDownstream, StreamReset>> {
        self.wake.remember(cx);
        loop {
            self.take_effects();
            if let Some(piece) = self.to_downstream.pop_front() {
                if piece.ends() {
                    self.finish();
                }
                return Poll::Ready(Ok(piece));
            }
            if self.reset || self.stream.is_none() {
                self.finish();
                return Poll::Ready(Err(StreamReset));
            }
            let mut moved = self.poll_upload(cx);
            moved |= self.poll_request(cx);
            moved |= self.poll_response(cx);
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Does what the stream wants done. What waits for the other side waits here, so that neither direction holds up the other.
    fn take_effects(&mut self) {
        while let Some(effect) = self.stream.as_mut().and_then(Stream::next_effect) {
            match effect {
                Effect::RequestHeaders { fields, end } => self.ask(fields, end),
                Effect::RequestBody { data, end } => {
                    self.to_upstream.push_back(ToUpstream::Data { data, end })
                }
                Effect::RequestTrailers(fields) => self
                    .to_upstream
                    .push_back(ToUpstream::Trailers(fields.into_header_map())),
                Effect::ResponseHeaders { fields, end } => {
                    if matches!(
                        self.response,
                        UpstreamResponse::Unasked | UpstreamResponse::Awaited(_)
                    ) {
                        // It is a plugin's own response: what upstream would say is of no interest any more.
                        self.hang_up();
                    }
                    self.to_downstream
                        .push_back(ToDownstream::Head { fields, end });
                }
                Effect::ResponseBody { data, end } => self.push_down(data, end),
                Effect::ResponseTrailers(fields) => self
                    .to_downstream
                    .push_back(ToDownstream::Trailers(fields.into_header_map())),
                Effect::Reset => self.reset = true,
            }
        }
    }

    /// Puts a piece in line for downstream. An end that comes by itself goes with the piece before it.
    fn push_down(&mut self, data: Bytes, end: bool) {
        if data.is_empty()
            && end
            && let Some(ToDownstream::Body { end, .. }) = self.to_downstream.back_mut()
        {
            *end = true;
            return;
        }
        self.to_downstream
            .push_back(ToDownstream::Body { data, end });
    }

    /// Sends the head of the request upstream.
    fn ask(&mut self, fields: Fields, end: bool) {
        let request = match head::request_out(fields, end) {
            Ok(request) => request,
            Err(failure) => return self.fail(&failure),
        };
        let body = if end {
            PipeBody::empty()
        } else {
            let (writer, body) = pipe();
            self.upload = Some(writer);
            body
        };
        self.response = UpstreamResponse::Awaited(self.state.upstream.send(request, body));
    }

    /// Answers in upstream's stead.
    fn fail(&mut self, failure: &Failure) {
        tracing::debug!(error = failure as &dyn std::error::Error, "upstream failed");
        self.hang_up();
        if let Some(stream) = &mut self.stream {
            stream.fail_upstream(failure.status().as_u16(), failure.body());
        }
    }

    /// Hands on what upstream has room for. All polls here say whether anything moved.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> bool {
        if self.to_upstream.is_empty() {
            return false;
        }
        let Some(upload) = &mut self.upload else {
            // Nobody upstream wants it, but plugins have seen it.
            self.to_upstream.clear();
            return true;
        };
        match upload.poll_room(cx) {
            Poll::Pending => return false,
            Poll::Ready(Err(_)) => {
                self.upload = None;
                self.to_upstream.clear();
                return true;
            }
            Poll::Ready(Ok(())) => {}
        }
        let last = match self.to_upstream.pop_front() {
            Some(ToUpstream::Data { data, end }) => {
                upload.data(data, end);
                end
            }
            Some(ToUpstream::Trailers(trailers)) => {
                upload.trailers(trailers);
                true
            }
            None => false,
        };
        if last {
            self.upload = None;
        }
        true
    }

    /// Reads on downstream.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(body), Some(stream)) = (&mut self.request, &mut self.stream) else {
            return false;
        };
        if !self.to_upstream.is_empty() || !stream.wants_request_body() {
            return false;
        }
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                // The end is told by itself, as Envoy does, so that plugins get the same callbacks here as there.
                Ok(data) => stream.request_body(data, false),
                Err(frame) => {
                    self.request = None;
                    if let Ok(trailers) = frame.into_trailers() {
                        stream.request_trailers(Fields::from_trailers(
                            trailers,
                            FieldMap::RequestTrailers,
                        ));
                    }
                }
            },
            Poll::Ready(None) => {
                self.request = None;
                stream.request_body(Bytes::new(), true);
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "request broken off"
                );
                self.reset = true;
            }
        }
        true
    }

    /// Reads on upstream.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match &mut self.response {
            UpstreamResponse::Unasked | UpstreamResponse::Over => false,
            UpstreamResponse::Awaited(response) => match Pin::new(response).poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(response))
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
                {
                    self.fail(&Failure::Protocol);
                    true
                }
                Poll::Ready(Ok(response)) => {
                    let (fields, body) = head::response_in(response);
                    let end = body.is_end_stream();
                    self.response = if end {
                        UpstreamResponse::Over
                    } else {
                        UpstreamResponse::Body(body)
                    };
                    stream.response_headers(fields, end);
                    true
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "upstream failed");
                    self.fail(&Failure::of_upstream(&error));
                    true
                }
            },
            UpstreamResponse::Body(_) if !stream.wants_response_body() => false,
            UpstreamResponse::Body(body) => {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            let last = body.is_end_stream();
                            stream.response_body(data, false);
                            if last {
                                // hyper counts bytes where there is a length and asks for nothing after the last of
                                // them, so the end has to come with it.
                                self.response = UpstreamResponse::Over;
                                stream.response_body(Bytes::new(), true);
                            }
                        }
                        Err(frame) => {
                            self.response = UpstreamResponse::Over;
                            if let Ok(trailers) = frame.into_trailers() {
                                stream.response_trailers(Fields::from_trailers(
                                    trailers,
                                    FieldMap::ResponseTrailers,
                                ));
                            }
                        }
                    },
                    Poll::Ready(None) => {
                        self.response = UpstreamResponse::Over;
                        stream.response_body(Bytes::new(), true);
                    }
                    Poll::Ready(Some(Err(error))) => {
                        // The head has gone down, so only the connection can tell that the rest will not come.
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "upstream broke off"
                        );
                        self.reset = true;
                    }
                }
                true
            }
        }
    }

    /// Lets go of upstream: what was not finished there is broken off.
    fn hang_up(&mut self) {
        self.response = UpstreamResponse::Over;
        self.upload = None;
        self.to_upstream.clear();
    }

    /// The response has gone down to its end, or never will: the stream is over, whatever the request still has to say.
    fn finish(&mut self) {
        self.hang_up();
        if self.request.take().is_some() {
            self.unread.mark();
        }
        if let Some(stream) = self.stream.take() {
            stream.finish();
        }
    }
}

impl Drop for Exchange {
    /// hyper lets go of a response as soon as it needs no more of it, and of everything when the client has gone.
    fn drop(&mut self) {
        self.finish();
    }
}

// === impl Downward ===

impl ToDownstream {
    /// Whether nothing follows.
    fn ends(&self) -> bool {
        match self {
            ToDownstream::Head { end, .. } | ToDownstream::Body { end, .. } => *end,
            ToDownstream::Trailers(_) => true,
        }
    }
}

// === impl ResponseBody ===

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StreamReset;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamReset>>> {
        let exchange = match self.get_mut() {
            ResponseBody::Whole(data) if data.is_empty() => return Poll::Ready(None),
            ResponseBody::Whole(data) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
            }
            ResponseBody::Coming(exchange) => exchange,
        };
        loop {
            if exchange.stream.is_none() && !exchange.reset {
                return Poll::Ready(None);
            }
            let next = std::task::ready!(exchange.poll_next(cx));
            // hyper drops what it has not sent when a body fails; asked once more, it sends that first. As in Envoy, a
            // client sees the head of a response that is broken off.
            if next.is_err() && exchange.reset && !exchange.flushed {
                exchange.flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(match next {
                Ok(ToDownstream::Body { data, .. }) if data.is_empty() => continue,
                Ok(ToDownstream::Body { data, .. }) => Some(Ok(Frame::data(data))),
                Ok(ToDownstream::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Ok(ToDownstream::Head { .. }) => Some(Err(StreamReset)),
                Err(broken) => Some(Err(broken)),
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Whole(data) => data.is_empty(),
            ResponseBody::Coming(exchange) => exchange.stream.is_none() && !exchange.reset,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(data) => SizeHint::with_exact(data.len() as u64),
            // The length stands in the head, where a plugin may have changed it; hyper reads it there.
            ResponseBody::Coming(_) => SizeHint::default(),
        }
    }
}

/// Whom to wake when another stream's callback has changed this one.
#[derive(Default)]
struct Wake {
    waker: Cell<Option<Waker>>,
}

// === impl Wake ===

impl Wake {
    fn remember(&self, cx: &mut Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    fn wake(&self) {
        // The task is polled again and remembers itself again.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
