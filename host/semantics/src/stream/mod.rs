//! The state machine of one HTTP stream, without I/O.
//!
//! It behaves like Envoy's filter manager and Wasm filter in everything that a plugin or a client can observe.
//! `iterate` moves the stream through the chain: which plugin is called next, and what pausing and resuming do.
//! `callback` runs a single callback and handles the failure of the plugin's instance. `reporter` reports events to an
//! observer. The part of a stream that hostcalls can access is in `crate::state`.

mod callback;
mod iterate;
mod reporter;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;

use crate::attributes::Connection;
use crate::context::Context;
use crate::fields::Fields;
use crate::instances::ChainInstances;
use crate::observe::Event;
use crate::state::body::Body;
use crate::state::local_response::{LocalResponse, RequestKind};
use crate::state::{SharedStream, State};
use crate::stream::reporter::Reporter;
use crate::vm::VmHandle;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// The state machine of one HTTP stream, without I/O. It consumes events and produces effects.
pub struct Stream {
    chain: Rc<ChainInstances>,
    shared: Rc<SharedStream>,
    filters: Vec<Filter>,
    direction_states: [DirectionState; 2],
    effects: VecDeque<QueuedEffect>,
    request_kind: RequestKind,
    /// Whether the upstream's response is ignored, because the proxy or a plugin generated a response or the stream was
    /// reset.
    ignores_upstream: bool,
    /// Whether the response has been received or generated completely. What remains of the request is then ignored.
    response_complete: bool,
    reset: bool,
    /// A placeholder for the progress of a plugin that is not in the chain.
    placeholder_progress: Progress,
    /// Reports the events of the stream to the observer, if there is one.
    reporter: Option<Reporter>,
}

/// An action that the caller has to perform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the request headers upstream.
    RequestHeaders {
        /// The request headers.
        fields: Fields,
        /// Whether neither a body nor trailers follow.
        end: bool,
    },
    /// Send a chunk of the request body upstream.
    RequestBody {
        /// The chunk. Empty only at the end of the body.
        data: Bytes,
        /// Whether neither further chunks nor trailers follow.
        end: bool,
    },
    /// Send the request trailers upstream. They end the request.
    RequestTrailers(Fields),
    /// Send the response headers downstream. This can happen before the request has been forwarded, or instead of
    /// forwarding it.
    ResponseHeaders {
        /// The response headers.
        fields: Fields,
        /// Whether neither a body nor trailers follow.
        end: bool,
    },
    /// Send a chunk of the response body downstream.
    ResponseBody {
        /// The chunk. Empty only at the end of the body.
        data: Bytes,
        /// Whether neither further chunks nor trailers follow.
        end: bool,
    },
    /// Send the response trailers downstream. They end the response.
    ResponseTrailers(Fields),
    /// Reset both sides of the stream. No further effects follow.
    Reset,
}

/// A queued effect. Its fields stay in the shared state, where plugins can read them, until the caller takes the
/// effect.
enum QueuedEffect {
    Headers {
        direction: Direction,
        end: bool,
    },
    Body {
        direction: Direction,
        data: Bytes,
        end: bool,
    },
    Trailers(Direction),
    Reset,
}

/// The state of one plugin of the chain on this stream.
struct Filter {
    binding: Binding,
    /// The progress of the request and of the response, by direction.
    progress: [Progress; 2],
}

/// The instance that a plugin uses on this stream.
enum Binding {
    /// No callback has been called yet.
    Unbound,
    /// The plugin has a context.
    Bound { vm: Rc<VmHandle>, context: Context },
    /// The instance has died, and the stream has failed or bypasses the plugin; or the stream has ended.
    Detached,
}

/// The progress of one direction of the stream at a plugin.
#[derive(Clone, Copy, Default)]
struct Progress {
    flow: Flow,
    /// Whether the headers have been passed to the next plugin.
    headers_passed: bool,
    /// Whether the end of the stream has reached the plugin.
    end: bool,
}

/// Whether a plugin has paused a direction of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    /// Paused by a body or trailers callback. Further callbacks are still called.
    Paused,
    /// Paused by a headers callback. No callback is called until the direction is resumed.
    Stopped {
        /// Whether exceeding the buffer limit makes the sender wait instead of failing the stream.
        watermark: bool,
    },
}

/// The state of one direction of the stream.
#[derive(Clone, Copy, Default)]
struct DirectionState {
    /// Whether the headers have been received.
    started: bool,
    /// Whether the end of the stream has been received.
    input_ended: bool,
    /// Whether a local response or a reset has aborted this direction.
    aborted: bool,
    /// Whether the end of the stream has been emitted as an effect.
    output_ended: bool,
}

impl Stream {
    /// Creates a stream that has received nothing yet. It begins now, by the clock that plugins see.
    #[doc(hidden)]
    pub fn new(chain: Rc<ChainInstances>, wake: Rc<dyn Fn()>) -> Self {
        let count = chain.plugin_count();
        let reporter = chain.observer().map(Reporter::new);
        let observed_as = reporter.as_ref().map(Reporter::stream_id);
        Self {
            shared: Rc::new(SharedStream::new(
                count,
                chain.clock().now(),
                wake,
                observed_as,
                chain.calls(),
            )),
            filters: (0..count)
                .map(|_| Filter {
                    binding: Binding::Unbound,
                    progress: Default::default(),
                })
                .collect(),
            direction_states: Default::default(),
            effects: VecDeque::new(),
            request_kind: RequestKind::default(),
            ignores_upstream: false,
            response_complete: false,
            reset: false,
            placeholder_progress: Progress::default(),
            reporter,
            chain,
        }
    }

    /// Returns the part of the stream that hostcalls can access.
    #[doc(hidden)]
    pub fn shared(&self) -> &Rc<SharedStream> {
        &self.shared
    }

    /// Sets the downstream connection, whose attributes plugins can query.
    pub fn set_connection(&mut self, connection: Connection) {
        self.with_state(|state| state.connection = Some(connection));
    }

    /// Processes the request headers. `end` is true if neither a body nor trailers follow.
    pub fn request_headers(&mut self, fields: Fields, end: bool) {
        self.receive_headers(Direction::Request, fields, end);
    }

    /// Processes a chunk of the request body. `end` is true if neither further chunks nor trailers follow.
    pub fn request_body(&mut self, data: Bytes, end: bool) {
        self.receive_body(Direction::Request, data, end);
    }

    /// Processes the request trailers.
    pub fn request_trailers(&mut self, fields: Fields) {
        self.receive_trailers(Direction::Request, fields);
    }

    /// Processes the headers of the upstream's response. `end` is true if neither a body nor trailers follow.
    pub fn response_headers(&mut self, fields: Fields, end: bool) {
        self.receive_headers(Direction::Response, fields, end);
    }

    /// Processes a chunk of the upstream's response. `end` is true if neither further chunks nor trailers follow.
    pub fn response_body(&mut self, data: Bytes, end: bool) {
        self.receive_body(Direction::Response, data, end);
    }

    /// Processes the trailers of the upstream's response.
    pub fn response_trailers(&mut self, fields: Fields) {
        self.receive_trailers(Direction::Response, fields);
    }

    /// Returns the next effect, or `None` if there is none. Must be called after every event and after every wake,
    /// until it returns `None`.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.shared.notified.replace(false) {
            self.run(Self::handle_wake);
        }
        Some(match self.effects.pop_front()? {
            QueuedEffect::Headers {
                direction: Direction::Request,
                end,
            } => Effect::RequestHeaders {
                fields: self.take_fields(FieldMap::RequestHeaders),
                end,
            },
            QueuedEffect::Headers {
                direction: Direction::Response,
                end,
            } => Effect::ResponseHeaders {
                fields: self.take_fields(FieldMap::ResponseHeaders),
                end,
            },
            QueuedEffect::Body {
                direction: Direction::Request,
                data,
                end,
            } => Effect::RequestBody { data, end },
            QueuedEffect::Body {
                direction: Direction::Response,
                data,
                end,
            } => Effect::ResponseBody { data, end },
            QueuedEffect::Trailers(Direction::Request) => {
                Effect::RequestTrailers(self.take_fields(FieldMap::RequestTrailers))
            }
            QueuedEffect::Trailers(Direction::Response) => {
                Effect::ResponseTrailers(self.take_fields(FieldMap::ResponseTrailers))
            }
            QueuedEffect::Reset => Effect::Reset,
        })
    }

    /// Returns whether the stream accepts more of the request body. While it returns `false`, the caller should not
    /// read from downstream.
    pub fn wants_request_body(&self) -> bool {
        self.wants_body(Direction::Request)
    }

    /// Returns whether the stream accepts more of the response body. While it returns `false`, the caller should not
    /// read from upstream.
    pub fn wants_response_body(&self) -> bool {
        self.wants_body(Direction::Response)
    }

    /// Reports that the upstream has failed. Sends a local response of the proxy, which passes the response callbacks.
    ///
    /// If a response has already begun, the stream is reset instead. If the response is already complete or local,
    /// nothing happens. An invalid `status` becomes 502.
    pub fn fail_upstream(&mut self, status: u16, body: Bytes) {
        if self.ignores_upstream || self.response_complete {
            return;
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let begun = self.direction_state(Direction::Response).started;
        self.run(|it| {
            if begun {
                it.reset_stream()
            } else {
                it.send_local_response(LocalResponse::from_proxy(status, body))
            }
        });
    }

    /// Records that the proxy itself has rejected the request, with the given response. As in Envoy, only the log
    /// callback is called.
    pub fn record_rejection(&mut self, request: Fields, response: Fields) {
        if self.direction_state(Direction::Request).started {
            return;
        }
        for direction in [Direction::Request, Direction::Response] {
            let state = self.direction_state(direction);
            (state.started, state.input_ended, state.aborted) = (true, true, true);
        }
        (self.response_complete, self.ignores_upstream) = (true, true);
        if let Some(reporter) = &self.reporter {
            let (worker, fields) = (self.chain.worker(), request.clone());
            reporter.report(Event::Begun { worker, fields });
        }
        let code = response.status().ok().map(|status| status.as_u16());
        self.with_state(|it| {
            it.response_status = code;
            it.set_map(FieldMap::RequestHeaders, request);
            it.set_map(FieldMap::ResponseHeaders, response);
        });
    }

    /// Reports that a plugin has changed the size of a body, but not `content-length`, which has been sent already. The
    /// recipient cuts the body, or waits for the rest.
    pub fn report_wrong_length(&self, direction: Direction, announced: u64, sent: u64) {
        let message = match direction {
            Direction::Request => "request",
            Direction::Response => "response",
        };
        self.chain.report_mistake(&format!(
            "`content-length` of the {message} is {announced}, but {sent} bytes of the body were sent; a plugin that changes the size of a body \
             has to remove or replace the header in the headers callback"
        ));
    }

    /// Ends the stream, whether or not it is complete: calls the log callbacks, then drops the filters. Dropping the
    /// stream has the same effect.
    pub fn finish(self) {}

    /// Takes fields that have passed all plugins out of the state. Leaves a copy there only if a plugin has a log
    /// callback, because nothing else reads them afterwards.
    fn take_fields(&self, map: FieldMap) -> Fields {
        let keep = self.chain.has_log_callback();
        self.with_state(|it| {
            let slot = it.maps.get_mut(map.index());
            slot.and_then(|fields| if keep { fields.clone() } else { fields.take() })
                .unwrap_or_default()
        })
    }

    fn receive_headers(&mut self, direction: Direction, fields: Fields, end: bool) {
        if self.reset || self.direction_state(direction).started {
            return;
        }
        let state = self.direction_state(direction);
        state.started = true;
        state.input_ended = end;
        match direction {
            Direction::Request => {
                self.request_kind = RequestKind::from_headers(&fields);
                if let Some(reporter) = &self.reporter {
                    let worker = self.chain.worker();
                    let fields = fields.clone();
                    reporter.report(Event::Begun { worker, fields });
                }
                self.with_state(|it| it.set_map(direction.headers(), fields));
            }
            Direction::Response => {
                self.response_complete |= end;
                let code = fields.status().ok().map(|status| status.as_u16());
                self.with_state(|it| {
                    it.response_status = code;
                    it.set_map(direction.headers(), fields);
                });
            }
        }
        self.run(|it| it.pass_headers(direction, 0, end));
    }

    fn receive_body(&mut self, direction: Direction, data: Bytes, end: bool) {
        if self.ignores_input(direction) || (data.is_empty() && !end) {
            return;
        }
        self.direction_state(direction).input_ended |= end;
        self.response_complete |= end && direction == Direction::Response;
        self.with_state(|it| it.set_passing(direction, Body::from(data)));
        self.run(|it| it.pass_body(direction, 0, end));
    }

    fn receive_trailers(&mut self, direction: Direction, fields: Fields) {
        if self.ignores_input(direction) {
            return;
        }
        self.direction_state(direction).input_ended = true;
        self.response_complete |= direction == Direction::Response;
        self.with_state(|it| it.set_map(direction.trailers(), fields));
        self.run(|it| it.pass_trailers(direction, 0));
    }

    /// Returns whether further input of a direction is ignored.
    fn ignores_input(&mut self, direction: Direction) -> bool {
        let response_complete = self.response_complete;
        let ignores_upstream = self.ignores_upstream;
        let reset = self.reset;
        let state = self.direction_state(direction);
        reset
            || !state.started
            || state.input_ended
            || state.aborted
            || match direction {
                Direction::Request => response_complete,
                Direction::Response => ignores_upstream,
            }
    }

    fn wants_body(&self, direction: Direction) -> bool {
        let buffered = self.shared.read(|state| state.buffered_len(direction));
        buffered <= self.chain.buffer_limit()
    }

    fn direction_state(&mut self, direction: Direction) -> &mut DirectionState {
        let [request, response] = &mut self.direction_states;
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    /// Runs a part of the state machine. Commands for this stream need no wake while it runs, because the state machine
    /// executes them itself.
    fn run<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.shared.running.replace(true);
        let result = run(self);
        self.shared.running.set(before);
        result
    }

    /// Calls the log callbacks, and closes all contexts.
    fn close(&mut self) {
        self.with_state(|it| {
            it.rejects_local_response = true;
            it.commands.clear();
            it.filters
                .iter_mut()
                .for_each(|filter| filter.accessible_maps = 0);
        });
        for index in 0..self.filters.len() {
            self.call(index, Phase::Log, true);
        }
        self.with_state(|it| {
            it.commands.clear();
            it.ended = true;
        });
        for index in 0..self.filters.len() {
            self.close_filter(index);
        }
        if let Some(reporter) = &self.reporter {
            reporter.report(Event::Ended);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.direction_state(Direction::Request).started {
            self.run(Self::close);
        }
    }
}

impl State {
    fn set_map(&mut self, map: FieldMap, fields: Fields) {
        if let Some(slot) = self.maps.get_mut(map.index()) {
            *slot = Some(fields);
        }
    }

    fn set_passing(&mut self, direction: Direction, body: Body) {
        if let Some(slot) = self.passing.get_mut(direction.index()) {
            *slot = body;
        }
    }

    fn buffered_len(&self, direction: Direction) -> usize {
        self.buffered
            .get(direction.index())
            .and_then(Option::as_ref)
            .map_or(0, Body::len)
    }
}
