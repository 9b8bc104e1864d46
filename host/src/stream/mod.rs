//! One HTTP stream on its way through the chain: the state machine, without I/O.
//!
//! It follows Envoy's filter manager, and its Wasm filter, in everything that a plugin or a client can see. `iterate` has
//! the order of things: which plugin is called next, what pausing and resuming do. `callback` is one call: what is set up
//! before it, and what became of the plugin's instance. `watch` tells an observer what happens. What hostcalls can reach of
//! a stream is in `crate::state`.

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

/// One HTTP stream, without I/O: it is fed what happens and gives what is to be done.
pub struct Stream {
    chain: Rc<ChainInstances>,
    shared: Rc<SharedStream>,
    filters: Vec<Filter>,
    halves: [Half; 2],
    ready: VecDeque<Ready>,
    request: RequestKind,
    /// The response is one of the proxy's, or of a plugin's: upstream's does not count any more.
    local: bool,
    /// The end of the response has come in: what becomes of the request does not matter any more.
    answered: bool,
    /// The stream was broken off.
    reset: bool,
    /// Where a plugin stands that is not in the chain.
    nowhere: Position,
    /// How an observer is told of it, if there is one.
    watch: Option<Watch>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the head of the request upstream.
    RequestHeaders {
        /// Its fields.
        fields: Fields,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send a piece of the request's body upstream.
    RequestBody {
        /// The piece; empty only at the end.
        data: Bytes,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the trailers of the request upstream; nothing follows.
    RequestTrailers(Fields),
    /// Send the head of the response downstream. It may come before the request was handed on, or instead of that.
    ResponseHeaders {
        /// Its fields.
        fields: Fields,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send a piece of the response's body downstream.
    ResponseBody {
        /// The piece; empty only at the end.
        data: Bytes,
        /// Whether nothing follows.
        end: bool,
    },
    /// Send the trailers of the response downstream; nothing follows.
    ResponseTrailers(Fields),
    /// Break off both sides; nothing follows.
    Reset,
}

/// An effect, while its fields are where plugins can read them.
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

/// One plugin of the chain, on this stream.
struct Filter {
    plugin: Plugin,
    /// Where it stands in the request and in the response.
    positions: [Position; 2],
}

/// The instance that a plugin uses on this stream.
enum Plugin {
    /// None of its callbacks was called yet.
    New,
    /// It has a context.
    Bound {
        vm: Rc<Vm>,
        context: Context,
        slot: usize,
    },
    /// Its instance has died and the stream was failed for it, or passes without it.
    Gone,
}

/// Where a plugin stands in one half of the stream.
#[derive(Clone, Copy, Default)]
struct Position {
    flow: Flow,
    /// The headers have gone on to the next plugin.
    headers_passed: bool,
    /// The end has been seen here.
    end: bool,
}

/// Whether a plugin lets a half of the stream pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    /// Stopped in its body or trailers callback: the next callback is called still.
    Paused,
    /// Stopped in its headers callback: no callback is called until it is resumed.
    Stopped {
        /// What to do about too many bytes: tell the sender to wait, rather than fail.
        watermark: bool,
    },
}

/// One half of the stream.
#[derive(Clone, Copy, Default)]
struct Half {
    /// Its headers have come in.
    started: bool,
    /// Its end has come in.
    complete: bool,
    /// It goes no further: a local response has taken its place.
    aborted: bool,
    /// Its end has been handed on.
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

    /// Says which connection it comes over, for plugins that ask.
    pub fn connected(&mut self, connection: Connection) {
        self.with_state(|state| state.connection = Some(connection));
    }

    /// The head of the request has come. `end`: neither body nor trailers follow.
    pub fn request_headers(&mut self, fields: Fields, end: bool) {
        self.feed_headers(Direction::Request, fields, end);
    }

    /// A piece of the request's body has come.
    pub fn request_body(&mut self, data: Bytes, end: bool) {
        self.feed_body(Direction::Request, data, end);
    }

    /// The trailers of the request have come.
    pub fn request_trailers(&mut self, fields: Fields) {
        self.feed_trailers(Direction::Request, fields);
    }

    /// The head of upstream's response has come.
    pub fn response_headers(&mut self, fields: Fields, end: bool) {
        self.feed_headers(Direction::Response, fields, end);
    }

    /// A piece of upstream's response has come.
    pub fn response_body(&mut self, data: Bytes, end: bool) {
        self.feed_body(Direction::Response, data, end);
    }

    /// The trailers of upstream's response have come.
    pub fn response_trailers(&mut self, fields: Fields) {
        self.feed_trailers(Direction::Response, fields);
    }

    /// What is to be done next, if there is anything. To be asked after every event and after every wake, until none is left.
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

    /// Whether more of the request's body may be fed now. While it says no, reading from downstream should stop.
    pub fn wants_request_body(&self) -> bool {
        self.wants_body(Direction::Request)
    }

    /// Whether more of the response's body may be fed now. While it says no, reading from upstream should stop.
    pub fn wants_response_body(&self) -> bool {
        self.wants_body(Direction::Response)
    }

    /// Upstream cannot be had: answers with the proxy's own response, which passes the response callbacks.
    ///
    /// If a response has begun already, the stream is reset. A status that is none becomes 502.
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

    /// The proxy has rejected the request by itself, with this response: as in Envoy, no callback comes but that for the log.
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

    /// The stream has ended, well or not: the last callbacks, then the filters are dropped. Dropping the stream does the same.
    pub fn finish(self) {}

    /// Fields that have gone through all plugins. Only log callbacks have a use for them still.
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

    /// Whether what comes in counts no more.
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

    /// Runs a part of the state machine. Meanwhile nobody needs to be woken for what is asked of this stream.
    fn busy<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.shared.busy.replace(true);
        let result = run(self);
        self.shared.busy.set(before);
        result
    }

    /// The last callbacks, and the end of all contexts.
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
