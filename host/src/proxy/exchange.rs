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
use tidegate_semantics::attributes::Connection;
use tidegate_semantics::fields::Fields;
use tidegate_semantics::stream::{Effect, Stream};
use tidegate_semantics::vocabulary::FieldMap;

use crate::proxy::head;
use crate::proxy::linger::UnreadRequest;
use crate::proxy::pipe::{PipeBody, Writer, pipe};
use crate::proxy::respond::Failure;
use crate::proxy::upstream::UpstreamClient;
use crate::runtime::WorkerChain;

/// The state that the streams of one worker share.
pub(super) struct WorkerState {
    /// The chain for new streams. Active streams keep the chain with which they began.
    pub(super) chain: RefCell<WorkerChain>,
    pub(super) upstream: UpstreamClient,
}

/// The response is incomplete: the stream was reset, or upstream or downstream disconnected. hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the stream was aborted")]
pub(super) struct StreamReset;

/// The body of a response, as hyper's server consumes it.
pub(super) enum ResponseBody {
    /// The whole body, possibly empty.
    Full(Bytes),
    /// A body that the exchange is still producing.
    Streaming(Box<Exchange>),
}

/// A request and its response in progress.
pub(super) struct Exchange {
    state: Rc<WorkerState>,
    unread: UnreadRequest,
    /// `None` once the response has been forwarded to its end, or has been aborted.
    stream: Option<Stream>,
    wake: Rc<TaskWaker>,
    /// The part of the request body that downstream has not sent yet.
    request_body: Option<Incoming>,
    /// Body chunks and trailers that upstream has not accepted yet.
    to_upstream: VecDeque<ToUpstream>,
    upload: Option<Writer>,
    response: UpstreamResponse,
    /// Parts of the response that downstream has not accepted yet.
    to_downstream: VecDeque<ToDownstream>,
    reset: bool,
    /// Whether hyper has had the opportunity to send what it received before the reset.
    polled_after_reset: bool,
}

/// Passes one request through the plugins and upstream, and returns the response once its head is available.
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
    let has_no_body = request.body().is_end_stream();
    let is_head_request = request.method() == Method::HEAD;
    let (fields, body) = match head::request_in(request) {
        Ok(taken) => taken,
        Err(rejected) => {
            let head::Rejected { failure, fields } = *rejected;
            tracing::debug!(
                error = &failure as &dyn std::error::Error,
                "request rejected"
            );
            if !has_no_body {
                unread.mark();
            }
            let response = failure.response();
            let mut stream = state.chain.borrow().clone().open(Rc::new(|| ()));
            stream.set_connection(connection);
            stream.record_rejection(fields, Fields::from_response(response.clone()).0);
            stream.finish();
            return Ok(response.map(ResponseBody::Full));
        }
    };
    let mut exchange = Box::new(Exchange::open(state, connection, unread, fields, body));
    let next = std::future::poll_fn(|cx| exchange.poll_next(cx)).await?;
    let (fields, end) = match next {
        ToDownstream::Head { fields, end } => (fields, end),
        // The stream emits the head first. Without a head, nothing can be sent.
        ToDownstream::Body { .. } | ToDownstream::Trailers(_) => return Err(StreamReset),
    };
    match head::response_out(fields, end, is_head_request) {
        Ok(response) => Ok(response.map(|()| match end {
            true => ResponseBody::Full(Bytes::new()),
            false => ResponseBody::Streaming(exchange),
        })),
        Err(failure) => {
            tracing::warn!(
                error = &failure as &dyn std::error::Error,
                "response rejected"
            );
            Ok(failure.response().map(ResponseBody::Full))
        }
    }
}

/// The upstream half of the exchange.
enum UpstreamResponse {
    /// No request has been sent upstream.
    NotRequested,
    /// The request is being sent, and the response head has not arrived.
    AwaitingHead(ResponseFuture),
    /// The response head has arrived.
    Body(Incoming),
    /// The response is complete, or no longer needed.
    Finished,
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
        let wake = Rc::new(TaskWaker::default());
        let chain = state.chain.borrow().clone();
        let mut stream = chain.open({
            let wake = Rc::clone(&wake);
            Rc::new(move || wake.wake())
        });
        let end = body.is_end_stream();
        stream.set_connection(connection);
        stream.request_headers(fields, end);
        Self {
            state,
            unread,
            stream: Some(stream),
            wake,
            request_body: (!end).then_some(body),
            to_upstream: VecDeque::new(),
            upload: None,
            response: UpstreamResponse::NotRequested,
            to_downstream: VecDeque::new(),
            reset: false,
            polled_after_reset: false,
        }
    }

    /// Returns the next part of the response for downstream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ToDownstream, StreamReset>> {
        self.wake.register(cx);
        loop {
            self.apply_effects();
            if let Some(item) = self.to_downstream.pop_front() {
                if item.is_last() {
                    self.finish();
                }
                return Poll::Ready(Ok(item));
            }
            if self.reset || self.stream.is_none() {
                self.finish();
                return Poll::Ready(Err(StreamReset));
            }
            let mut progressed = self.poll_upload(cx);
            progressed |= self.poll_request(cx);
            progressed |= self.poll_response(cx);
            if !progressed {
                return Poll::Pending;
            }
        }
    }

    /// Applies the effects of the stream. What has to wait for the other side is queued, so that neither direction blocks
    /// the other.
    fn apply_effects(&mut self) {
        while let Some(effect) = self.stream.as_mut().and_then(Stream::next_effect) {
            match effect {
                Effect::RequestHeaders { fields, end } => self.send_request_head(fields, end),
                Effect::RequestBody { data, end } => {
                    self.to_upstream.push_back(ToUpstream::Data { data, end })
                }
                Effect::RequestTrailers(fields) => self
                    .to_upstream
                    .push_back(ToUpstream::Trailers(fields.into_header_map())),
                Effect::ResponseHeaders { fields, end } => {
                    if matches!(
                        self.response,
                        UpstreamResponse::NotRequested | UpstreamResponse::AwaitingHead(_)
                    ) {
                        // This is a local response, so the response of upstream is no longer needed.
                        self.abort_upstream();
                    }
                    self.to_downstream
                        .push_back(ToDownstream::Head { fields, end });
                }
                Effect::ResponseBody { data, end } => self.queue_response_data(data, end),
                Effect::ResponseTrailers(fields) => self
                    .to_downstream
                    .push_back(ToDownstream::Trailers(fields.into_header_map())),
                Effect::Reset => self.reset = true,
            }
        }
    }

    /// Queues a body chunk for downstream. If it only marks the end, the end is added to the chunk before it.
    fn queue_response_data(&mut self, data: Bytes, end: bool) {
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

    /// Sends the request head upstream.
    fn send_request_head(&mut self, fields: Fields, end: bool) {
        let request = match head::request_out(fields, end) {
            Ok(request) => request,
            Err(failure) => return self.respond_with_failure(&failure),
        };
        let body = if end {
            PipeBody::empty()
        } else {
            let (writer, body) = pipe();
            self.upload = Some(writer);
            body
        };
        self.response = UpstreamResponse::AwaitingHead(self.state.upstream.send(request, body));
    }

    /// Responds in place of upstream.
    fn respond_with_failure(&mut self, failure: &Failure) {
        tracing::debug!(error = failure as &dyn std::error::Error, "upstream failed");
        self.abort_upstream();
        if let Some(stream) = &mut self.stream {
            stream.fail_upstream(failure.status().as_u16(), failure.body());
        }
    }

    /// Forwards one queued item if upstream has room for it. Like the other polls, it returns whether there was progress.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> bool {
        if self.to_upstream.is_empty() {
            return false;
        }
        let Some(upload) = &mut self.upload else {
            // Upstream does not need this any more. The plugins have seen it, which is all that remained to be done.
            self.to_upstream.clear();
            return true;
        };
        match upload.poll_ready(cx) {
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
                upload.write_data(data, end);
                end
            }
            Some(ToUpstream::Trailers(trailers)) => {
                upload.write_trailers(trailers);
                true
            }
            None => false,
        };
        if last {
            self.upload = None;
        }
        true
    }

    /// Reads from downstream.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(body), Some(stream)) = (&mut self.request_body, &mut self.stream) else {
            return false;
        };
        if !self.to_upstream.is_empty() || !stream.wants_request_body() {
            return false;
        }
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                // The end is reported separately, as in Envoy, so that plugins get the same callbacks in both proxies.
                Ok(data) => stream.request_body(data, false),
                Err(frame) => {
                    self.request_body = None;
                    if let Ok(trailers) = frame.into_trailers() {
                        stream.request_trailers(Fields::from_trailers(
                            trailers,
                            FieldMap::RequestTrailers,
                        ));
                    }
                }
            },
            Poll::Ready(None) => {
                self.request_body = None;
                stream.request_body(Bytes::new(), true);
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "request aborted");
                self.reset = true;
            }
        }
        true
    }

    /// Reads from upstream.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match &mut self.response {
            UpstreamResponse::NotRequested | UpstreamResponse::Finished => false,
            UpstreamResponse::AwaitingHead(response) => match Pin::new(response).poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(response))
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
                {
                    self.respond_with_failure(&Failure::Protocol);
                    true
                }
                Poll::Ready(Ok(response)) => {
                    let (fields, body) = head::response_in(response);
                    let end = body.is_end_stream();
                    self.response = if end {
                        UpstreamResponse::Finished
                    } else {
                        UpstreamResponse::Body(body)
                    };
                    stream.response_headers(fields, end);
                    true
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "upstream failed");
                    self.respond_with_failure(&Failure::from_upstream_error(&error));
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
                                // With a `content-length`, hyper counts bytes and does not poll again after the last
                                // one, so the end has to be reported together with it.
                                self.response = UpstreamResponse::Finished;
                                stream.response_body(Bytes::new(), true);
                            }
                        }
                        Err(frame) => {
                            self.response = UpstreamResponse::Finished;
                            if let Ok(trailers) = frame.into_trailers() {
                                stream.response_trailers(Fields::from_trailers(
                                    trailers,
                                    FieldMap::ResponseTrailers,
                                ));
                            }
                        }
                    },
                    Poll::Ready(None) => {
                        self.response = UpstreamResponse::Finished;
                        stream.response_body(Bytes::new(), true);
                    }
                    Poll::Ready(Some(Err(error))) => {
                        // The head has been sent, so only closing the connection can signal that the rest will not arrive.
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

    /// Drops the request and the response upstream, and thereby aborts whichever is incomplete.
    fn abort_upstream(&mut self) {
        self.response = UpstreamResponse::Finished;
        self.upload = None;
        self.to_upstream.clear();
    }

    /// Ends the stream, because the response has been forwarded to its end or never will be. The rest of the request is not
    /// read.
    fn finish(&mut self) {
        self.abort_upstream();
        if self.request_body.take().is_some() {
            self.unread.mark();
        }
        if let Some(stream) = self.stream.take() {
            stream.finish();
        }
    }
}

impl Drop for Exchange {
    /// Ends the stream. hyper drops a response as soon as it needs no more of it, and everything when the client disconnects.
    fn drop(&mut self) {
        self.finish();
    }
}

// === impl ToDownstream ===

impl ToDownstream {
    /// Returns whether nothing follows.
    fn is_last(&self) -> bool {
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
            ResponseBody::Full(data) if data.is_empty() => return Poll::Ready(None),
            ResponseBody::Full(data) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
            }
            ResponseBody::Streaming(exchange) => exchange,
        };
        loop {
            if exchange.stream.is_none() && !exchange.reset {
                return Poll::Ready(None);
            }
            let next = std::task::ready!(exchange.poll_next(cx));
            // When a body fails, hyper drops what it has not sent yet; if it is polled once more before that, it sends it.
            // As in Envoy, a client sees the head of a response that is aborted.
            if next.is_err() && exchange.reset && !exchange.polled_after_reset {
                exchange.polled_after_reset = true;
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
            ResponseBody::Full(data) => data.is_empty(),
            ResponseBody::Streaming(exchange) => exchange.stream.is_none() && !exchange.reset,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(data) => SizeHint::with_exact(data.len() as u64),
            // The length is in the head, where a plugin may have changed it; hyper reads it there.
            ResponseBody::Streaming(_) => SizeHint::default(),
        }
    }
}

/// Wakes the task of an exchange whose stream was changed by the callback of another stream.
#[derive(Default)]
struct TaskWaker {
    waker: Cell<Option<Waker>>,
}

// === impl TaskWaker ===

impl TaskWaker {
    fn register(&self, cx: &mut Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    fn wake(&self) {
        // The task is polled again, and then stores its waker again.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
