//! Iteration: the progress of each direction through the plugins, and what pausing and resuming do.
//!
//! Requests traverse the plugins in chain order, responses in reverse order. As in Envoy, each direction has a single
//! buffer for paused body data, regardless of which plugin paused. On resume, a plugin that paused in its headers
//! callback gets a body callback for the buffered data, and a plugin that paused in its body callback does not.

use bytes::Bytes;
use http::StatusCode;

use crate::observe::Event;
use crate::plugin::FailurePolicy;
use crate::state::body::Body;
use crate::state::local_response::LocalResponse;
use crate::state::{Command, State};
use crate::stream::{Flow, Plugin, Position, Ready, Stream};
use crate::vocabulary::{Action, Direction, Phase};

/// How a direction proceeds after a callback.
enum After {
    /// Proceeds according to the callback's action, or as after `Continue` if the direction was resumed in the
    /// meantime.
    Go { resumed: bool },
    /// Stops, because a local response or a reset has aborted the direction.
    Stop,
}

impl Stream {
    /// Passes the headers of a direction through the plugins, starting at step `from`.
    pub(super) fn pass_headers(&mut self, half: Direction, from: usize, end: bool) {
        let phase = match half {
            Direction::Request => Phase::RequestHeaders,
            Direction::Response => Phase::ResponseHeaders,
        };
        for step in from..self.filters.len() {
            let index = self.index(half, step);
            self.position(half, index).end = end;
            let mut action = self.call(index, phase, end);
            match self.after(half, index) {
                After::Stop => return,
                After::Go { resumed: true } => action = Action::Continue,
                After::Go { resumed: false } => {}
            }
            let position = self.position(half, index);
            match action {
                Action::Continue => position.headers_passed = true,
                Action::PauseBuffering => {
                    position.flow = Flow::Stopped { watermark: false };
                    return;
                }
                Action::Pause | Action::PauseWatermark | Action::PauseDropping => {
                    position.flow = Flow::Stopped { watermark: true };
                    return;
                }
            }
        }
        self.emit_headers(half, end);
    }

    /// Passes the body data in `passing` through the plugins, starting at step `from`.
    pub(super) fn pass_body(&mut self, half: Direction, from: usize, end: bool) {
        if half == Direction::Request && self.answered {
            self.take_passing(half);
            return;
        }
        for step in from..self.filters.len() {
            let index = self.index(half, step);
            let Position {
                flow, end: ended, ..
            } = *self.position(half, index);
            if let Flow::Stopped { watermark } = flow {
                if self.keep(half, watermark) {
                    self.respond(too_large_response(half));
                }
                return;
            }
            if ended {
                self.take_passing(half);
                return;
            }
            self.position(half, index).end = end;
            let accumulates = self.accumulates(half, index);
            let too_large = accumulates && self.keep(half, false);
            let action = self.call(index, half.body_phase(), end);
            if too_large {
                self.ask(Command::Respond(Box::new(too_large_response(half))));
            }
            let action = match self.after(half, index) {
                After::Stop => return,
                After::Go { resumed: true } => Action::Continue,
                After::Go { resumed: false } => action,
            };
            match action {
                Action::Continue if flow == Flow::Paused => {
                    // As in Envoy, the limit also applies to data that would be forwarded now.
                    if self.keep(half, false) {
                        return self.respond(too_large_response(half));
                    }
                    return self.resume(half, index);
                }
                Action::Continue => {}
                Action::Pause | Action::PauseBuffering | Action::PauseWatermark => {
                    self.position(half, index).flow = Flow::Paused;
                    if self.keep(half, action == Action::PauseWatermark) {
                        self.respond(too_large_response(half));
                    }
                    return;
                }
                Action::PauseDropping => {
                    self.position(half, index).flow = Flow::Paused;
                    self.take_passing(half);
                    // The dropped chunk was the end of the stream. Keep an empty body, so that the end is forwarded
                    // when the plugin is resumed.
                    if end {
                        self.with_state(|it| _ = it.held_mut(half).get_or_insert_default());
                    }
                    return;
                }
            }
        }
        self.emit_body(half, end);
    }

    /// Passes the trailers of a direction through the plugins, starting at step `from`.
    pub(super) fn pass_trailers(&mut self, half: Direction, from: usize) {
        if half == Direction::Request && self.answered {
            return;
        }
        let phase = match half {
            Direction::Request => Phase::RequestTrailers,
            Direction::Response => Phase::ResponseTrailers,
        };
        for step in from..self.filters.len() {
            let index = self.index(half, step);
            if matches!(self.position(half, index).flow, Flow::Stopped { .. }) {
                return;
            }
            let action = self.call(index, phase, true);
            self.position(half, index).end = true;
            let action = match self.after(half, index) {
                After::Stop => return,
                After::Go { resumed: true } => Action::Continue,
                After::Go { resumed: false } => action,
            };
            let position = self.position(half, index);
            match (action, position.flow) {
                (Action::Continue, Flow::Open) => {}
                (Action::Continue, _) => return self.resume(half, index),
                _ => {
                    position.flow = Flow::Paused;
                    return;
                }
            }
        }
        self.emit_trailers(half);
    }

    /// Resumes a direction that a plugin has paused. Does nothing if it is not paused.
    pub(super) fn resume(&mut self, half: Direction, index: usize) {
        let over = match half {
            Direction::Request => self.answered,
            Direction::Response => self.half(half).ended,
        };
        let position = self.position(half, index);
        if over || position.flow == Flow::Open {
            return;
        }
        // A plugin that paused in its headers callback has seen neither body nor trailers yet.
        let seen = position.flow == Flow::Paused;
        let headers_passed = std::mem::replace(&mut position.headers_passed, true);
        position.flow = Flow::Open;
        self.report_resume(half, index);
        self.forget_live(half, index);
        let step = self.index(half, index);
        let rest_from = if seen { step + 1 } else { step };
        let has_trailers = self.with_state(|it| it.map(half.trailers()).is_some());
        let held = self.with_state(|it| it.held_mut(half).is_some());
        if !headers_passed {
            let end = self.half(half).complete && !held && !has_trailers;
            self.pass_headers(half, step + 1, end);
        }
        if self.is_cut_short(half) {
            return;
        }
        if let Some(held) = self.with_state(|it| it.held_mut(half).take()) {
            let end = self.half(half).complete && !has_trailers;
            self.with_state(|it| it.set_passing(half, held));
            self.pass_body(half, rest_from, end);
        }
        if has_trailers && !self.is_cut_short(half) {
            self.pass_trailers(half, rest_from);
        }
    }

    /// Sends a local response. As in Envoy, it passes the response callbacks if no response has begun, and bypasses
    /// them if one has begun but none of it has been forwarded. Otherwise, the stream can only be reset.
    pub(super) fn respond(&mut self, response: LocalResponse) {
        if self.reset {
            return;
        }
        self.local = true;
        self.answered = true;
        let code = Some(response.status.as_u16());
        self.with_state(|it| {
            it.answered = true;
            it.code = code;
        });
        let origin = response.origin;
        let (fields, body) = response.into_message(self.request);
        if let Some(watch) = &self.watch {
            watch.tell(Event::LocalResponse {
                origin,
                fields: fields.clone(),
                body: body.len(),
            });
        }
        let end = body.is_empty();
        let sent = self.with_state(|it| it.sent);
        let begun = self.half(Direction::Response).started;
        if begun && sent {
            return self.break_off();
        }
        let half = self.half(Direction::Response);
        half.started = true;
        half.complete = true;
        half.aborted = begun;
        self.with_state(|it| {
            it.set_map(Direction::Response.headers(), fields);
            *it.held_mut(Direction::Response) = None;
        });
        if begun {
            self.emit_headers(Direction::Response, end);
        } else {
            self.pass_headers(Direction::Response, 0, end);
        }
        if !end && !self.reset && self.half(Direction::Response).aborted == begun {
            self.with_state(|it| it.set_passing(Direction::Response, Body::from(body)));
            if begun {
                self.emit_body(Direction::Response, true);
            } else {
                self.pass_body(Direction::Response, 0, true);
            }
        }
    }

    /// Executes the commands that callbacks of other streams have queued, and handles plugins whose instances have died
    /// in the meantime.
    pub(super) fn answer_call(&mut self) {
        self.do_commands(None);
        for index in 0..self.filters.len() {
            let Some(filter) = self.filters.get(index) else {
                continue;
            };
            let dead = matches!(&filter.plugin, Plugin::Bound { vm, .. } if vm.is_dead());
            let paused = filter.positions.iter().any(|it| it.flow != Flow::Open);
            // As in Envoy, a plugin that does not pause the stream is handled when the stream reaches it again.
            if dead && paused {
                self.instance_is_gone(index);
                if self.chain.failure_policy(index) == FailurePolicy::Open {
                    self.resume(Direction::Request, index);
                    self.resume(Direction::Response, index);
                }
                self.do_commands(None);
            }
        }
    }

    /// Executes the commands that a callback has queued.
    fn after(&mut self, half: Direction, index: usize) -> After {
        if self.with_state(|it| it.commands.is_empty()) {
            return After::Go { resumed: false };
        }
        let resumed = self.do_commands(Some((half, index)));
        if self.is_cut_short(half) {
            return After::Stop;
        }
        if resumed {
            // Whatever the callback returned, nothing stays buffered: the next callback sees only new data.
            self.report_resume(half, index);
            self.forget_live(half, index);
        }
        After::Go { resumed }
    }

    fn report_resume(&self, half: Direction, position: usize) {
        if let Some(watch) = &self.watch {
            watch.tell(Event::Resumed { position, half });
        }
    }

    /// Returns whether a local response or a reset has aborted a direction.
    fn is_cut_short(&mut self, half: Direction) -> bool {
        self.reset || self.half(half).aborted
    }

    /// Executes the queued commands. `called` is the callback that has just returned. Returns whether its plugin has
    /// resumed its direction.
    fn do_commands(&mut self, called: Option<(Direction, usize)>) -> bool {
        let mut resumed = false;
        for request in self.with_state(|it| std::mem::take(&mut it.commands)) {
            match request {
                Command::Resume { filter, half } if called == Some((half, filter)) => {
                    resumed = true
                }
                Command::Resume { filter, half } => self.resume(half, filter),
                Command::Respond(response) => {
                    // Abort the request before the response begins, so that the response callbacks do not find it
                    // active.
                    if let Some((Direction::Request, _)) = called {
                        self.half(Direction::Request).aborted = true;
                    }
                    self.respond(*response);
                }
                Command::Reset => self.break_off(),
            }
        }
        resumed
    }

    fn ask(&mut self, command: Command) {
        self.with_state(|it| it.commands.push(command));
    }

    /// Resets the stream.
    pub(super) fn break_off(&mut self) {
        if !std::mem::replace(&mut self.reset, true) {
            self.local = true;
            self.answered = true;
            for half in &mut self.halves {
                half.aborted = true;
                half.ended = true;
            }
            self.with_state(|it| {
                it.answered = true;
                it.held = Default::default();
                it.passing = Default::default();
            });
            self.ready.push_back(Ready::Reset);
            if let Some(watch) = &self.watch {
                watch.tell(Event::Reset);
            }
        }
    }

    fn emit_headers(&mut self, half: Direction, end: bool) {
        if half == Direction::Response {
            let code = self.with_state(|it| it.map(half.headers())?.status().ok());
            let Some(code) = code else {
                return self.respond(without_status());
            };
            self.with_state(|it| {
                it.sent = true;
                it.code = Some(code.as_u16());
            });
        }
        if let Some(watch) = &self.watch {
            let map = half.headers();
            let fields = self.with_state(|it| it.map(map).cloned().unwrap_or_default());
            watch.tell(Event::Passed { map, fields });
        }
        self.half(half).ended |= end;
        self.ready.push_back(Ready::Headers { half, end });
    }

    fn emit_body(&mut self, half: Direction, end: bool) {
        self.half(half).ended |= end;
        let mut pieces = self.take_passing(half).into_iter().peekable();
        if end && pieces.peek().is_none() {
            self.ready.push_back(Ready::Body {
                half,
                data: Bytes::new(),
                end,
            });
        }
        while let Some(data) = pieces.next() {
            let last = pieces.peek().is_none();
            self.ready.push_back(Ready::Body {
                half,
                data,
                end: end && last,
            });
        }
    }

    fn emit_trailers(&mut self, half: Direction) {
        self.half(half).ended = true;
        self.ready.push_back(Ready::Trailers(half));
    }

    /// Buffers the data in `passing`. Returns whether the buffer limit is exceeded. With `watermark`, always returns
    /// `false`.
    fn keep(&mut self, half: Direction, watermark: bool) -> bool {
        let limit = self.chain.buffer();
        self.with_state(|it| {
            let passing = it.take_passing(half);
            let held = it.held_mut(half).get_or_insert_default();
            held.append(passing);
            !watermark && held.len() > limit
        })
    }

    fn take_passing(&mut self, half: Direction) -> Body {
        self.with_state(|it| it.take_passing(half))
    }

    fn accumulates(&self, half: Direction, index: usize) -> bool {
        self.with_state(|it| {
            it.filter(index)
                .buffering
                .get(half.index())
                .copied()
                .unwrap_or(false)
        })
    }

    /// Ends a plugin's access to the fields and to the buffered body of a direction.
    fn forget_live(&mut self, half: Direction, index: usize) {
        self.with_state(|it| {
            if let Some(filter) = it.filters.get_mut(index) {
                filter.live &= !(half.headers().bit() | half.trailers().bit());
                if let Some(buffering) = filter.buffering.get_mut(half.index()) {
                    *buffering = false;
                }
            }
        });
    }

    fn position(&mut self, half: Direction, index: usize) -> &mut Position {
        let Some(filter) = self.filters.get_mut(index) else {
            return &mut self.nowhere;
        };
        let [request, response] = &mut filter.positions;
        match half {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    /// Converts a step in the order of a direction to the index of the plugin in the chain, and vice versa. Responses
    /// traverse the chain in reverse order.
    fn index(&self, half: Direction, step: usize) -> usize {
        match half {
            Direction::Request => step,
            Direction::Response => self.filters.len().saturating_sub(step + 1),
        }
    }
}

/// Returns the response for a stream whose paused body exceeds the buffer limit.
fn too_large_response(half: Direction) -> LocalResponse {
    match half {
        Direction::Request => LocalResponse::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            Bytes::from_static(b"Payload Too Large"),
        ),
        Direction::Response => LocalResponse::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            Bytes::from_static(b"Internal Server Error"),
        ),
    }
}

/// Returns the response that replaces one without a valid `:status`.
fn without_status() -> LocalResponse {
    LocalResponse::plain(
        StatusCode::BAD_GATEWAY,
        Bytes::from_static(b"missing required header: :status"),
    )
}

impl State {
    fn held_mut(&mut self, half: Direction) -> &mut Option<Body> {
        let [request, response] = &mut self.held;
        match half {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    fn take_passing(&mut self, half: Direction) -> Body {
        let [request, response] = &mut self.passing;
        std::mem::take(match half {
            Direction::Request => request,
            Direction::Response => response,
        })
    }
}
