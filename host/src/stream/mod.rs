//! The state machine of one HTTP stream, without I/O.
//!
//! It behaves like Envoy's filter manager and Wasm filter in everything that a plugin or a client can observe.
//! `iterate` moves the stream through the chain: which plugin is called next, and what pausing and resuming do.
//! `callback` runs a single callback and handles the failure of the plugin's instance. `watch` reports events to an
//! observer. The part of a stream that hostcalls can access is in `crate::state`.

mod callback;
mod iterate;
#[cfg(test)]
mod tests;
mod watch;

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
use crate::stream::watch::Watch;
use crate::vm::Vm;
use crate::vocabulary::{Direction, FieldMap, Phase};

/// The state machine of one HTTP stream, without I/O. It consumes events and produces effects.
pub struct Stream {
    chain: Rc<ChainInstances>,
    shared: Rc<SharedStream>,
    filters: Vec<Filter>,
    halves: [Half; 2],
    ready: VecDeque<Ready>,
    request: RequestKind,
    /// Whether the upstream's response is ignored, because the proxy or a plugin generated a response or the stream was
    /// reset.
    local: bool,
    /// Whether the response has been received or generated completely. What remains of the request is then ignored.
    answered: bool,
    reset: bool,
    /// A placeholder for the position of a plugin that is not in the chain.
    nowhere: Position,
    /// Reports the events of the stream to the observer, if there is one.
    watch: Option<Watch>,
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
enum Ready {
    Headers {
        half: Direction,
        end: bool,
    },
    Body {
        half: Direction,
        data: Bytes,
        end: bool,
    },
    Trailers(Direction),
    Reset,
}

/// The state of one plugin of the chain on this stream.
struct Filter {
    plugin: Plugin,
    /// The positions of the request and of the response, by direction.
    positions: [Position; 2],
}

/// The instance that a plugin uses on this stream.
enum Plugin {
    /// No callback has been called yet.
    New,
    /// The plugin has a context.
    Bound {
        vm: Rc<Vm>,
        context: Context,
        slot: usize,
    },
    /// The instance has died, and the stream has failed or bypasses the plugin; or the stream has ended.
    Gone,
}

/// The progress of one direction of the stream at a plugin.
#[derive(Clone, Copy, Default)]
struct Position {
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
struct Half {
    /// Whether the headers have been received.
    started: bool,
    /// Whether the end of the stream has been received.
    complete: bool,
    /// Whether a local response or a reset has aborted this direction.
    aborted: bool,
    /// Whether the end of the stream has been emitted as an effect.
    ended: bool,
}

impl Stream {
    pub(crate) fn new(chain: Rc<ChainInstances>, wake: Rc<dyn Fn()>) -> Self {
        let count = chain.plugin_count();
        Self {
            shared: Rc::new(SharedStream::new(count, wake)),
            filters: (0..count)
                .map(|_| Filter {
                    plugin: Plugin::New,
                    positions: Default::default(),
                })
                .collect(),
            halves: Default::default(),
            ready: VecDeque::new(),
            request: RequestKind::default(),
            local: false,
            answered: false,
            reset: false,
            nowhere: Position::default(),
            watch: chain.observer().map(Watch::of),
            chain,
        }
    }

    /// Sets the downstream connection, whose attributes plugins can query.
    pub fn connected(&mut self, connection: Connection) {
        self.with_state(|state| state.connection = Some(connection));
    }

    /// Processes the request headers. `end` is true if neither a body nor trailers follow.
    pub fn request_headers(&mut self, fields: Fields, end: bool) {
        self.feed_headers(Direction::Request, fields, end);
    }

    /// Processes a chunk of the request body. `end` is true if neither further chunks nor trailers follow.
    pub fn request_body(&mut self, data: Bytes, end: bool) {
        self.feed_body(Direction::Request, data, end);
    }

    /// Processes the request trailers.
    pub fn request_trailers(&mut self, fields: Fields) {
        self.feed_trailers(Direction::Request, fields);
    }

    /// Processes the headers of the upstream's response. `end` is true if neither a body nor trailers follow.
    pub fn response_headers(&mut self, fields: Fields, end: bool) {
        self.feed_headers(Direction::Response, fields, end);
    }

    /// Processes a chunk of the upstream's response. `end` is true if neither further chunks nor trailers follow.
    pub fn response_body(&mut self, data: Bytes, end: bool) {
        self.feed_body(Direction::Response, data, end);
    }

    /// Processes the trailers of the upstream's response.
    pub fn response_trailers(&mut self, fields: Fields) {
        self.feed_trailers(Direction::Response, fields);
    }

    /// Returns the next effect, or `None` if there is none. Must be called after every event and after every wake,
    /// until it returns `None`.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.shared.called.replace(false) {
            self.busy(Self::answer_call);
        }
        Some(match self.ready.pop_front()? {
            Ready::Headers {
                half: Direction::Request,
                end,
            } => Effect::RequestHeaders {
                fields: self.hand_out(FieldMap::RequestHeaders),
                end,
            },
            Ready::Headers {
                half: Direction::Response,
                end,
            } => Effect::ResponseHeaders {
                fields: self.hand_out(FieldMap::ResponseHeaders),
                end,
            },
            Ready::Body {
                half: Direction::Request,
                data,
                end,
            } => Effect::RequestBody { data, end },
            Ready::Body {
                half: Direction::Response,
                data,
                end,
            } => Effect::ResponseBody { data, end },
            Ready::Trailers(Direction::Request) => {
                Effect::RequestTrailers(self.hand_out(FieldMap::RequestTrailers))
            }
            Ready::Trailers(Direction::Response) => {
                Effect::ResponseTrailers(self.hand_out(FieldMap::ResponseTrailers))
            }
            Ready::Reset => Effect::Reset,
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
        if self.local || self.answered {
            return;
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let begun = self.half(Direction::Response).started;
        self.busy(|it| {
            if begun {
                it.break_off()
            } else {
                it.respond(LocalResponse::plain(status, body))
            }
        });
    }

    /// Records that the proxy itself has rejected the request, with the given response. As in Envoy, only the log
    /// callback is called.
    pub fn refused(&mut self, request: Fields, response: Fields) {
        if self.half(Direction::Request).started {
            return;
        }
        for half in [Direction::Request, Direction::Response] {
            let half = self.half(half);
            (half.started, half.complete, half.aborted) = (true, true, true);
        }
        (self.answered, self.local) = (true, true);
        if let Some(watch) = &self.watch {
            let (worker, fields) = (self.chain.number(), request.clone());
            watch.tell(Event::Begun { worker, fields });
        }
        let code = response.status().ok().map(|status| status.as_u16());
        self.with_state(|it| {
            it.code = code;
            it.set_map(FieldMap::RequestHeaders, request);
            it.set_map(FieldMap::ResponseHeaders, response);
        });
    }

    /// Ends the stream, whether or not it is complete: calls the log callbacks, then drops the filters. Dropping the
    /// stream has the same effect.
    pub fn finish(self) {}

    /// Takes fields that have passed all plugins out of the state. Leaves a copy there only if a plugin has a log
    /// callback, because nothing else reads them afterwards.
    fn hand_out(&self, map: FieldMap) -> Fields {
        let keep = self.chain.logs();
        self.with_state(|it| {
            let place = it.maps.get_mut(map.index());
            place
                .and_then(|fields| if keep { fields.clone() } else { fields.take() })
                .unwrap_or_default()
        })
    }

    fn feed_headers(&mut self, half: Direction, fields: Fields, end: bool) {
        if self.reset || self.half(half).started {
            return;
        }
        let state = self.half(half);
        state.started = true;
        state.complete = end;
        match half {
            Direction::Request => {
                self.request = RequestKind::of(&fields);
                if let Some(watch) = &self.watch {
                    let worker = self.chain.number();
                    let fields = fields.clone();
                    watch.tell(Event::Begun { worker, fields });
                }
            }
            Direction::Response => {
                self.answered |= end;
                let code = fields.status().ok().map(|status| status.as_u16());
                self.with_state(|it| it.code = code);
            }
        }
        self.with_state(|it| it.set_map(half.headers(), fields));
        self.busy(|it| it.pass_headers(half, 0, end));
    }

    fn feed_body(&mut self, half: Direction, data: Bytes, end: bool) {
        if self.ignores(half) || (data.is_empty() && !end) {
            return;
        }
        self.half(half).complete |= end;
        self.answered |= end && half == Direction::Response;
        self.with_state(|it| it.set_passing(half, Body::from(data)));
        self.busy(|it| it.pass_body(half, 0, end));
    }

    fn feed_trailers(&mut self, half: Direction, fields: Fields) {
        if self.ignores(half) {
            return;
        }
        self.half(half).complete = true;
        self.answered |= half == Direction::Response;
        self.with_state(|it| it.set_map(half.trailers(), fields));
        self.busy(|it| it.pass_trailers(half, 0));
    }

    /// Returns whether further input of a direction is ignored.
    fn ignores(&mut self, half: Direction) -> bool {
        let answered = self.answered;
        let local = self.local;
        let reset = self.reset;
        let state = self.half(half);
        reset
            || !state.started
            || state.complete
            || state.aborted
            || match half {
                Direction::Request => answered,
                Direction::Response => local,
            }
    }

    fn wants_body(&self, half: Direction) -> bool {
        let held = self.shared.read(|state| state.held_len(half));
        held <= self.chain.buffer()
    }

    fn half(&mut self, half: Direction) -> &mut Half {
        let [request, response] = &mut self.halves;
        match half {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    /// Runs a part of the state machine. Commands for this stream need no wake while it runs, because the state machine
    /// executes them itself.
    fn busy<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.shared.busy.replace(true);
        let result = run(self);
        self.shared.busy.set(before);
        result
    }

    /// Calls the log callbacks, and closes all contexts.
    fn close(&mut self) {
        self.with_state(|it| {
            it.answered = true;
            it.commands.clear();
            it.filters.iter_mut().for_each(|filter| filter.live = 0);
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
        if let Some(watch) = &self.watch {
            watch.tell(Event::Ended);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.half(Direction::Request).started {
            self.busy(Self::close);
        }
    }
}

impl State {
    fn set_map(&mut self, map: FieldMap, fields: Fields) {
        if let Some(place) = self.maps.get_mut(map.index()) {
            *place = Some(fields);
        }
    }

    fn set_passing(&mut self, half: Direction, body: Body) {
        if let Some(place) = self.passing.get_mut(half.index()) {
            *place = body;
        }
    }

    fn held_len(&self, half: Direction) -> usize {
        self.held
            .get(half.index())
            .and_then(Option::as_ref)
            .map_or(0, Body::len)
    }
}
