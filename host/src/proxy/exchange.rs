//! One request and its response: connects both sockets with the stream, which implements the semantics.
//!
//! An exchange is polled, never spawned, by the task of its downstream connection. Each poll applies the effects of the
//! stream and feeds it from whichever side has data. The directions are independent: each is limited only by the output
//! of the socket that it writes to, and by what the stream buffers. A client that does not read its response can
//! therefore still send its request.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tidegate_semantics::attributes::Connection;
use tidegate_semantics::fields::{Fields, Pseudo};
use tidegate_semantics::stream::{Effect, Stream};
use tidegate_semantics::vocabulary::{Direction, FieldMap};

use crate::proxy::alarm::Alarm;
use crate::proxy::head;
use crate::proxy::http1::body::{BodyDecoder, Decoded, End};
use crate::proxy::http1::encode::{self, BodyEncoder, ResponseOptions};
use crate::proxy::http1::request::RequestHead;
use crate::proxy::http1::{Framing, HeadError};
use crate::proxy::pool::Pool;
use crate::proxy::profile::EdgeSettings;
use crate::proxy::respond::Failure;
use crate::proxy::socket::{OUTPUT_LIMIT, Socket};
use crate::proxy::timeouts::nanoseconds;
use crate::proxy::upstream::{Part, ResponseError, UpstreamRequest};
use crate::proxy::worker_state::WorkerState;
use crate::runtime::WorkerChain;

/// How much a client may send of its next requests before the response to the current one is complete.
const MAX_PIPELINED: usize = 64 * 1024;

/// What to do with a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read another request.
    Request,
    /// Send what is queued, and close the connection.
    Close,
    /// The client has gone.
    Gone,
}

/// A request and its response in progress.
pub(super) struct Exchange {
    pool: Rc<Pool>,
    edge: EdgeSettings,
    /// When the first part of the request was received.
    began: u64,
    /// When something was received or sent for the last time.
    last_activity: u64,
    /// When the request was passed on to its end.
    request_ended: Option<u64>,
    /// Whether a timeout has expired. The next one resets the stream.
    has_timed_out: bool,
    /// `None` once the response has been forwarded to its end, or has been aborted.
    stream: Option<Stream>,
    request: RequestBody,
    /// `None` before a request is sent, and when the response is complete or no longer needed.
    upstream: Option<UpstreamRequest>,
    response: Response,
    options: ResponseOptions,
    is_reset: bool,
}

/// The part of the request that downstream has not sent, or plugins have not seen, yet.
struct RequestBody {
    decoder: BodyDecoder,
    /// Whether the socket's input contains only an incomplete part, so that more has to be read.
    needs_input: bool,
    /// The end, if it has been decoded together with the data before it.
    end: Option<End>,
    /// Whether plugins have received the end.
    is_complete: bool,
}

enum Response {
    NotStarted,
    /// The head has been written.
    Body(BodyEncoder),
    /// The response has been written to its end.
    Finished,
}

// === impl Exchange ===

impl Exchange {
    /// Begins a request, of which the first part was received at the time `began`. `closes` means that the connection is closed after the
    /// response.
    pub(super) fn open(
        state: &WorkerState,
        chain: &WorkerChain,
        wake: Rc<dyn Fn()>,
        connection: Connection,
        head: RequestHead,
        began: u64,
        closes: bool,
    ) -> Self {
        let mut stream = chain.open(wake);
        let is_head_request = head
            .fields
            .pseudo(Pseudo::Method)
            .is_some_and(|method| method == "HEAD");
        let end = head.framing == Framing::None;
        stream.set_connection(Connection {
            version: head.version,
            ..connection
        });
        stream.request_headers(head.fields, end);
        Self {
            pool: state.upstream.clone(),
            edge: state.edge,
            began,
            last_activity: state.clock.monotonic(),
            request_ended: None,
            has_timed_out: false,
            stream: Some(stream),
            request: RequestBody {
                decoder: BodyDecoder::new(head.framing),
                needs_input: false,
                end: None,
                is_complete: end,
            },
            upstream: None,
            response: Response::NotStarted,
            options: ResponseOptions {
                to_head_request: is_head_request,
                close: closes,
            },
            is_reset: false,
        }
    }

    /// Makes progress until the response has been written to the socket's output, or the stream is reset.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Socket,
        state: &WorkerState,
        alarm: &mut Alarm,
    ) -> Poll<Next> {
        // Once the head has been written, the client may already be sending its next request.
        if let Response::NotStarted = self.response {
            self.options.close |= state.is_draining();
        }
        let mut is_active = false;
        loop {
            self.apply_effects(downstream);
            if let Response::Finished = self.response {
                self.finish();
                return Poll::Ready(match self.options.close {
                    true => Next::Close,
                    false => Next::Request,
                });
            }
            if self.is_reset {
                self.finish();
                return Poll::Ready(Next::Close);
            }
            let mut progressed = match self.poll_request(cx, downstream) {
                Poll::Ready(Ok(progressed)) => progressed,
                Poll::Ready(Err(ClientGone)) => {
                    self.finish();
                    return Poll::Ready(Next::Gone);
                }
                Poll::Pending => false,
            };
            progressed |= self.poll_upstream(cx, downstream.output.len());
            if progressed {
                is_active = true;
                continue;
            }
            let queued = downstream.output.len();
            match downstream.poll_flush(cx) {
                // There is room again.
                Poll::Ready(Ok(())) if queued >= OUTPUT_LIMIT => {
                    is_active = true;
                    continue;
                }
                Poll::Ready(Err(_)) => {
                    self.finish();
                    return Poll::Ready(Next::Gone);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            is_active |= downstream.output.len() < queued;
            std::task::ready!(self.poll_timeout(cx, state, alarm, is_active));
        }
    }

    /// Waits until the request takes too long, and then responds, or resets the stream. `is_active` means that something
    /// has been received or sent.
    fn poll_timeout(
        &mut self,
        cx: &mut Context<'_>,
        state: &WorkerState,
        alarm: &mut Alarm,
        is_active: bool,
    ) -> Poll<()> {
        let now = state.clock.monotonic();
        if is_active {
            self.last_activity = now;
        }
        let has_ended = self
            .upstream
            .as_ref()
            .is_some_and(UpstreamRequest::has_been_sent);
        if has_ended && self.request_ended.is_none() {
            self.request_ended = Some(now);
        }
        let after = |since: u64, limit: Duration| since.saturating_add(nanoseconds(limit));
        let limits = &state.timeouts;
        let idle_at = limits
            .stream_idle_timeout
            .map(|limit| after(self.last_activity, limit));
        let route_at = self
            .request_ended
            .filter(|_| self.upstream.is_some())
            .zip(limits.route_timeout)
            .map(|(since, limit)| after(since, limit));
        let is_received = self.request.decoder.has_ended();
        let request_at = limits
            .request_timeout
            .filter(|_| !is_received && !self.has_timed_out)
            .map(|limit| after(self.began, limit));
        let deadlines = idle_at.into_iter().chain(route_at).chain(request_at);
        let Some(at) = deadlines.min() else {
            return Poll::Pending;
        };
        std::task::ready!(alarm.poll(cx, &*state.clock, at));
        let failure = match route_at {
            Some(route_at) if route_at <= at => Failure::RouteTimeout,
            _ if request_at == Some(at) => Failure::RequestTimeout,
            _ if self.request.is_complete => Failure::ResponseIdle,
            _ => Failure::RequestIdle,
        };
        self.last_activity = state.clock.monotonic();
        if std::mem::replace(&mut self.has_timed_out, true) {
            self.is_reset = true;
        } else {
            self.respond_with_failure(&failure);
        }
        Poll::Ready(())
    }

    /// Applies the effects of the stream.
    fn apply_effects(&mut self, downstream: &mut Socket) {
        while let Some(effect) = self.stream.as_mut().and_then(Stream::next_effect) {
            match effect {
                Effect::RequestHeaders { fields, end } => self.send_request_head(&fields, end),
                Effect::RequestBody { data, end } => {
                    if let Some(upstream) = &mut self.upstream {
                        upstream.write_data(data, end);
                    }
                    self.check_end_of_request();
                }
                Effect::RequestTrailers(fields) => {
                    if let Some(upstream) = &mut self.upstream {
                        upstream.write_trailers(&fields);
                    }
                    self.check_end_of_request();
                }
                Effect::ResponseHeaders { fields, end } => {
                    self.write_response_head(downstream, fields, end);
                }
                Effect::ResponseBody { data, end } => {
                    if let Response::Body(encoder) = &mut self.response {
                        encoder.data(&mut downstream.output, data);
                        if end {
                            encoder.end(&mut downstream.output, None);
                        }
                    }
                }
                Effect::ResponseTrailers(fields) => {
                    if let Response::Body(encoder) = &mut self.response {
                        encoder.end(&mut downstream.output, Some(&fields));
                    }
                }
                Effect::Reset => self.is_reset = true,
            }
            self.check_end_of_response();
        }
    }

    /// Sends the request head upstream.
    fn send_request_head(&mut self, fields: &Fields, end: bool) {
        let request =
            head::check_route(fields).and_then(|()| UpstreamRequest::new(&self.pool, fields, end));
        match request {
            Ok(request) => self.upstream = Some(request),
            Err(failure) => self.respond_with_failure(&failure),
        }
    }

    fn write_response_head(&mut self, downstream: &mut Socket, mut fields: Fields, end: bool) {
        if let Some(upstream) = &self.upstream
            && upstream.awaits_head()
        {
            // This is a local response, so the response of upstream is no longer needed.
            self.upstream = None;
        }
        // As in Envoy, the rest of the request is not waited for.
        self.options.close |= !self.request.is_complete;
        self.edge.on_response(&mut fields);
        match encode::response(&mut downstream.output, &fields, end, self.options) {
            Ok(encoder) => self.response = Response::Body(encoder),
            Err(error) => {
                let failure = Failure::ResponseHead(error);
                tracing::warn!(
                    error = &failure as &dyn std::error::Error,
                    "response rejected"
                );
                self.options.close = true;
                let (mut fields, body) = failure.response();
                self.edge.on_response(&mut fields);
                write_response(downstream, &fields, body, self.options);
                self.response = Response::Finished;
            }
        }
    }

    /// Notices the end of the response.
    fn check_end_of_response(&mut self) {
        if let Response::Body(encoder) = &self.response
            && encoder.has_ended()
        {
            if let Some((announced, sent)) = encoder.wrong_length() {
                // The client cannot find the start of another response.
                self.options.close = true;
                self.report_wrong_length(Direction::Response, announced, sent);
            }
            self.response = Response::Finished;
        }
    }

    /// Notices a request whose body does not have the announced size.
    fn check_end_of_request(&self) {
        let wrong_length = self
            .upstream
            .as_ref()
            .and_then(UpstreamRequest::wrong_length);
        if let Some((announced, sent)) = wrong_length {
            self.report_wrong_length(Direction::Request, announced, sent);
        }
    }

    fn report_wrong_length(&self, direction: Direction, announced: u64, sent: u64) {
        if let Some(stream) = &self.stream {
            stream.report_wrong_length(direction, announced, sent);
        }
    }

    /// Responds in place of upstream.
    fn respond_with_failure(&mut self, failure: &Failure) {
        tracing::debug!(error = failure as &dyn std::error::Error, "request failed");
        self.upstream = None;
        if let Some(stream) = &mut self.stream {
            stream.fail_upstream(failure.status().as_u16(), failure.body());
        }
    }

    /// Reads from downstream. Returns whether there was progress.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Socket,
    ) -> Poll<Result<bool, ClientGone>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(false));
        };
        if self.request.decoder.has_ended() && self.request.end.is_none() {
            return detect_close(cx, downstream);
        }
        let queued = self.upstream.as_ref().map_or(0, UpstreamRequest::queued);
        let is_full = queued >= OUTPUT_LIMIT;
        if is_full || !stream.wants_request_body() {
            return downstream.poll_closed(cx).map(|()| Err(ClientGone));
        }
        if let Some(end) = self.request.end.take() {
            self.request.is_complete = true;
            match end {
                // The end is reported separately, as in Envoy, so that plugins get the same callbacks in both proxies.
                End::Body => stream.request_body(Bytes::new(), true),
                End::Trailers(trailers) => stream.request_trailers(trailers),
            }
            return Poll::Ready(Ok(true));
        }
        if self.request.needs_input
            && !matches!(std::task::ready!(downstream.poll_read(cx)), Ok(1..))
        {
            return Poll::Ready(Err(ClientGone));
        }
        let decoded = self
            .request
            .decoder
            .decode(&mut downstream.input, FieldMap::RequestTrailers);
        match decoded {
            Ok(Decoded { data, end }) => {
                // An incomplete trailer stays in the input.
                self.request.needs_input = self.request.decoder.needs_input();
                self.request.end = end;
                stream.request_body(data, false);
            }
            Err(error) => self.reject_rest(error),
        }
        Poll::Ready(Ok(true))
    }

    /// Responds to a request whose body is invalid, unless the response has begun.
    fn reject_rest(&mut self, error: HeadError) {
        self.request.decoder.close();
        self.options.close = true;
        if let Response::NotStarted = self.response {
            self.respond_with_failure(&Failure::Request(error));
        } else {
            self.is_reset = true;
        }
    }

    /// Sends to and reads from upstream. Returns whether there was progress.
    fn poll_upstream(&mut self, cx: &mut Context<'_>, queued_downstream: usize) -> bool {
        let Some(upstream) = &mut self.upstream else {
            return false;
        };
        let was_full = upstream.queued() >= OUTPUT_LIMIT;
        if let Err(error) = upstream.poll_send(cx) {
            self.process_error(error);
            return true;
        }
        let has_room = was_full && upstream.queued() < OUTPUT_LIMIT;
        let wants_more = upstream.awaits_head()
            || (queued_downstream < OUTPUT_LIMIT
                && self
                    .stream
                    .as_ref()
                    .is_some_and(Stream::wants_response_body));
        if !wants_more {
            return has_room;
        }
        match upstream.poll_part(cx) {
            Poll::Pending => return has_room,
            Poll::Ready(Ok(part)) => self.process_part(part),
            Poll::Ready(Err(error)) => self.process_error(error),
        }
        true
    }

    fn process_part(&mut self, part: Part) {
        let is_last = matches!(
            part,
            Part::Head { end: true, .. } | Part::End | Part::Trailers(_)
        );
        if is_last {
            self.upstream = None;
        }
        let Some(stream) = &mut self.stream else {
            return;
        };
        match part {
            Part::Head { fields, end } => stream.response_headers(fields, end),
            Part::Data(data) => stream.response_body(data, false),
            Part::End => stream.response_body(Bytes::new(), true),
            Part::Trailers(trailers) => stream.response_trailers(trailers),
        }
    }

    fn process_error(&mut self, error: ResponseError) {
        match error {
            ResponseError::Failed(failure) => self.respond_with_failure(&failure),
            ResponseError::Incomplete => {
                // The head has been sent, so only closing the connection can signal that the rest will not arrive.
                tracing::debug!("the response of the upstream breaks off");
                // Resets the stream, unless a plugin has responded in the meantime.
                self.respond_with_failure(&Failure::Protocol);
            }
        }
    }

    /// Ends the stream, because the response has been written to its end or never will be. The rest of the request is not
    /// read.
    fn finish(&mut self) {
        self.upstream = None;
        if let Some(stream) = self.stream.take() {
            stream.finish();
        }
    }
}

/// The client has closed the connection, or it broke.
#[derive(Debug)]
struct ClientGone;

/// Waits for the end of a connection whose request is complete. What arrives is kept for the next request.
fn detect_close(cx: &mut Context<'_>, downstream: &mut Socket) -> Poll<Result<bool, ClientGone>> {
    while downstream.input.len() < MAX_PIPELINED {
        if !matches!(std::task::ready!(downstream.poll_read(cx)), Ok(1..)) {
            return Poll::Ready(Err(ClientGone));
        }
    }
    downstream.poll_closed(cx).map(|()| Err(ClientGone))
}

/// Writes the response to a request that has no stream, or whose stream cannot respond.
pub(super) fn write_response(
    downstream: &mut Socket,
    fields: &Fields,
    body: Bytes,
    options: ResponseOptions,
) {
    // The fields are the proxy's own, so they can be written.
    if let Ok(mut encoder) =
        encode::response(&mut downstream.output, fields, body.is_empty(), options)
    {
        encoder.data(&mut downstream.output, body);
        encoder.end(&mut downstream.output, None);
    }
}
