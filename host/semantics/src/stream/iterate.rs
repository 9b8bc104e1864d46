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
use crate::stream::{Binding, Flow, Progress, QueuedEffect, Stream};
use crate::vocabulary::{Action, Direction, Phase};

/// How a direction proceeds after a callback.
enum AfterCallback {
    /// Proceeds according to the callback's action, or as after `Continue` if the direction was resumed in the
    /// meantime.
    Proceed { resumed: bool },
    /// Stops, because a local response or a reset has aborted the direction.
    Stop,
}

impl Stream {
    /// Passes the headers of a direction through the plugins, starting at position `from` in its order.
    pub(super) fn pass_headers(&mut self, direction: Direction, from: usize, end: bool) {
        let phase = match direction {
            Direction::Request => Phase::RequestHeaders,
            Direction::Response => Phase::ResponseHeaders,
        };
        for position_in_order in from..self.filters.len() {
            let index = self.index(direction, position_in_order);
            self.progress(direction, index).end = end;
            let mut action = self.call(index, phase, end);
            match self.after_callback(direction, index) {
                AfterCallback::Stop => return,
                AfterCallback::Proceed { resumed: true } => action = Action::Continue,
                AfterCallback::Proceed { resumed: false } => {}
            }
            let progress = self.progress(direction, index);
            match action {
                Action::Continue => progress.headers_passed = true,
                Action::PauseBuffering => {
                    progress.flow = Flow::Stopped { watermark: false };
                    return;
                }
                Action::Pause | Action::PauseWatermark | Action::PauseDropping => {
                    progress.flow = Flow::Stopped { watermark: true };
                    return;
                }
            }
        }
        self.emit_headers(direction, end);
    }

    /// Passes the body data in `passing` through the plugins, starting at position `from` in its order.
    pub(super) fn pass_body(&mut self, direction: Direction, from: usize, end: bool) {
        if let Some(position_in_order) = self.pass_chunk(direction, from, end)
            && !self.is_aborted(direction)
        {
            self.pass_trailers(direction, position_in_order + 1);
        }
    }

    /// Returns the position of a plugin that has added trailers and has not paused: the plugins after it get them.
    fn pass_chunk(&mut self, direction: Direction, from: usize, mut end: bool) -> Option<usize> {
        let mut added = None;
        if direction == Direction::Request && self.response_complete {
            self.take_passing(direction);
            return None;
        }
        for position_in_order in from..self.filters.len() {
            let index = self.index(direction, position_in_order);
            let Progress {
                flow, end: ended, ..
            } = *self.progress(direction, index);
            if let Flow::Stopped { watermark } = flow {
                if self.buffer_passing(direction, watermark) {
                    self.send_local_response(too_large_response(direction));
                }
                return added;
            }
            if ended {
                self.take_passing(direction);
                return added;
            }
            self.progress(direction, index).end = end;
            let accumulates = self.accumulates(direction, index);
            let too_large = accumulates && self.buffer_passing(direction, false);
            let may_add_trailers = end && !self.has_trailers(direction);
            let action = self.call(index, direction.body_phase(), end);
            if may_add_trailers && self.has_trailers(direction) {
                end = false;
                added = Some(position_in_order);
            }
            if too_large {
                self.queue_command(Command::SendLocalResponse(Box::new(too_large_response(
                    direction,
                ))));
            }
            let action = match self.after_callback(direction, index) {
                AfterCallback::Stop => return None,
                AfterCallback::Proceed { resumed: true } => Action::Continue,
                AfterCallback::Proceed { resumed: false } => action,
            };
            match action {
                Action::Continue if flow == Flow::Paused => {
                    // As in Envoy, the limit also applies to data that would be forwarded now.
                    if self.buffer_passing(direction, false) {
                        self.send_local_response(too_large_response(direction));
                        return None;
                    }
                    if added.is_some_and(|added| added < position_in_order) {
                        // The plugins before this one get the trailers first, so the body goes on alone.
                        self.progress(direction, index).flow = Flow::Open;
                        self.report_resume(direction, index);
                        self.revoke_access(direction, index);
                        let body = self.with_state(|it| it.buffered_mut(direction).take());
                        self.with_state(|it| it.set_passing(direction, body.unwrap_or_default()));
                        continue;
                    }
                    self.resume(direction, index);
                    return None;
                }
                Action::Continue => {}
                Action::Pause | Action::PauseBuffering | Action::PauseWatermark => {
                    self.progress(direction, index).flow = Flow::Paused;
                    if self.buffer_passing(direction, action == Action::PauseWatermark) {
                        self.send_local_response(too_large_response(direction));
                    }
                    return added.filter(|added| *added != position_in_order);
                }
                Action::PauseDropping => {
                    self.progress(direction, index).flow = Flow::Paused;
                    self.take_passing(direction);
                    // The dropped chunk was the end of the stream. Keep an empty body, so that the end is forwarded
                    // when the plugin is resumed.
                    if end {
                        self.with_state(|it| {
                            _ = it.buffered_mut(direction).get_or_insert_default()
                        });
                    }
                    return added.filter(|added| *added != position_in_order);
                }
            }
        }
        self.emit_body(direction, end);
        added
    }

    /// Passes the trailers of a direction through the plugins, starting at position `from` in its order.
    pub(super) fn pass_trailers(&mut self, direction: Direction, from: usize) {
        if direction == Direction::Request && self.response_complete {
            return;
        }
        let phase = match direction {
            Direction::Request => Phase::RequestTrailers,
            Direction::Response => Phase::ResponseTrailers,
        };
        for position_in_order in from..self.filters.len() {
            let index = self.index(direction, position_in_order);
            if matches!(self.progress(direction, index).flow, Flow::Stopped { .. }) {
                return;
            }
            let action = self.call(index, phase, true);
            self.progress(direction, index).end = true;
            let action = match self.after_callback(direction, index) {
                AfterCallback::Stop => return,
                AfterCallback::Proceed { resumed: true } => Action::Continue,
                AfterCallback::Proceed { resumed: false } => action,
            };
            let progress = self.progress(direction, index);
            match (action, progress.flow) {
                (Action::Continue, Flow::Open) => {}
                (Action::Continue, _) => return self.resume(direction, index),
                _ => {
                    progress.flow = Flow::Paused;
                    return;
                }
            }
        }
        self.emit_trailers(direction);
    }

    /// Resumes a direction that a plugin has paused. Does nothing if it is not paused.
    pub(super) fn resume(&mut self, direction: Direction, index: usize) {
        let is_finished = match direction {
            Direction::Request => self.response_complete,
            Direction::Response => self.direction_state(direction).output_ended,
        };
        let progress = self.progress(direction, index);
        if is_finished || progress.flow == Flow::Open {
            return;
        }
        // A plugin that paused in its headers callback has seen neither body nor trailers yet.
        let seen = progress.flow == Flow::Paused;
        let headers_passed = std::mem::replace(&mut progress.headers_passed, true);
        progress.flow = Flow::Open;
        self.report_resume(direction, index);
        self.revoke_access(direction, index);
        let position_in_order = self.index(direction, index);
        let rest_from = if seen {
            position_in_order + 1
        } else {
            position_in_order
        };
        let has_trailers = self.has_trailers(direction);
        let buffered = self.with_state(|it| it.buffered_mut(direction).is_some());
        if !headers_passed {
            let end = self.direction_state(direction).input_ended && !buffered && !has_trailers;
            self.pass_headers(direction, position_in_order + 1, end);
        }
        if self.is_aborted(direction) {
            return;
        }
        if let Some(buffered) = self.with_state(|it| it.buffered_mut(direction).take()) {
            let end = self.direction_state(direction).input_ended && !has_trailers;
            self.with_state(|it| it.set_passing(direction, buffered));
            self.pass_body(direction, rest_from, end);
        }
        if has_trailers && !self.is_aborted(direction) {
            self.pass_trailers(direction, rest_from);
        }
    }

    /// Sends a local response. As in Envoy, it passes the response callbacks if no response has begun, and bypasses
    /// them if one has begun but none of it has been forwarded. Otherwise, the stream can only be reset.
    pub(super) fn send_local_response(&mut self, response: LocalResponse) {
        if self.has_responded() {
            return;
        }
        self.ignores_upstream = true;
        self.response_complete = true;
        let code = Some(response.status.as_u16());
        self.with_state(|it| {
            it.rejects_local_response = true;
            it.response_status = code;
        });
        let origin = response.origin;
        let (fields, body) = response.into_message(self.request_kind);
        if let Some(reporter) = &self.reporter {
            reporter.report(Event::LocalResponse {
                origin,
                fields: fields.clone(),
                body: body.len(),
            });
        }
        let end = body.is_empty();
        let sent = self.with_state(|it| it.response_headers_sent);
        let begun = self.direction_state(Direction::Response).started;
        if begun && sent {
            return self.reset_stream();
        }
        let state = self.direction_state(Direction::Response);
        state.started = true;
        state.input_ended = true;
        state.aborted = begun;
        self.with_state(|it| {
            it.set_map(Direction::Response.headers(), fields);
            *it.buffered_mut(Direction::Response) = None;
        });
        if begun {
            self.emit_headers(Direction::Response, end);
        } else {
            self.pass_headers(Direction::Response, 0, end);
        }
        if !end && !self.reset && self.direction_state(Direction::Response).aborted == begun {
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
    pub(super) fn handle_wake(&mut self) {
        self.execute_commands(None);
        for index in 0..self.filters.len() {
            let Some(filter) = self.filters.get(index) else {
                continue;
            };
            let dead = matches!(&filter.binding, Binding::Bound { vm, .. } if vm.is_dead());
            let paused = filter.progress.iter().any(|it| it.flow != Flow::Open);
            // As in Envoy, a plugin that does not pause the stream is handled when the stream reaches it again.
            if dead && paused {
                self.handle_unavailable_instance(index);
                if self.chain.failure_policy(index) == FailurePolicy::Open {
                    self.resume(Direction::Request, index);
                    self.resume(Direction::Response, index);
                }
                self.execute_commands(None);
            }
        }
    }

    /// Executes the commands that a callback has queued.
    fn after_callback(&mut self, direction: Direction, index: usize) -> AfterCallback {
        if self.with_state(|it| it.commands.is_empty()) {
            return AfterCallback::Proceed { resumed: false };
        }
        let resumed = self.execute_commands(Some((direction, index)));
        if self.is_aborted(direction) {
            return AfterCallback::Stop;
        }
        if resumed {
            // Whatever the callback returned, nothing stays buffered: the next callback sees only new data.
            self.report_resume(direction, index);
            self.revoke_access(direction, index);
        }
        AfterCallback::Proceed { resumed }
    }

    fn report_resume(&self, direction: Direction, index: usize) {
        if let Some(reporter) = &self.reporter {
            reporter.report(Event::Resumed {
                position: index,
                direction,
            });
        }
    }

    fn has_trailers(&self, direction: Direction) -> bool {
        self.with_state(|it| it.map(direction.trailers()).is_some())
    }

    /// Returns whether a local response or a reset has aborted a direction.
    fn is_aborted(&mut self, direction: Direction) -> bool {
        self.reset || self.direction_state(direction).aborted
    }

    /// Executes the queued commands. `returned` is the callback that has just returned. Returns whether its plugin has
    /// resumed its direction.
    fn execute_commands(&mut self, returned: Option<(Direction, usize)>) -> bool {
        let mut resumed = false;
        for command in self.with_state(|it| std::mem::take(&mut it.commands)) {
            match command {
                Command::Resume { filter, direction } if returned == Some((direction, filter)) => {
                    resumed = true
                }
                Command::Resume { filter, direction } => self.resume(direction, filter),
                Command::SendLocalResponse(response) => {
                    // Abort the request before the response begins, so that the response callbacks do not find it
                    // active.
                    if let Some((Direction::Request, _)) = returned {
                        self.direction_state(Direction::Request).aborted = true;
                    }
                    self.send_local_response(*response);
                }
                Command::Reset => self.reset_stream(),
            }
        }
        resumed
    }

    fn queue_command(&mut self, command: Command) {
        self.with_state(|it| it.commands.push(command));
    }

    /// Resets the stream. If its response is complete, this has no effect: the client gets the whole response.
    pub(super) fn reset_stream(&mut self) {
        if self.has_responded() {
            return;
        }
        self.reset = true;
        self.ignores_upstream = true;
        self.response_complete = true;
        for state in &mut self.direction_states {
            state.aborted = true;
            state.output_ended = true;
        }
        self.with_state(|it| {
            it.rejects_local_response = true;
            it.buffered = Default::default();
            it.passing = Default::default();
        });
        self.effects.push_back(QueuedEffect::Reset);
        if let Some(reporter) = &self.reporter {
            reporter.report(Event::Reset);
        }
    }

    /// Returns whether the response has passed all plugins to its end, or the stream has been reset. For Envoy, the stream has ended then.
    fn has_responded(&mut self) -> bool {
        self.direction_state(Direction::Response).output_ended
    }

    fn emit_headers(&mut self, direction: Direction, end: bool) {
        if direction == Direction::Response {
            let has_status = self.with_state(|it| {
                let code = it
                    .map(direction.headers())
                    .and_then(|fields| fields.status().ok());
                if let Some(code) = code {
                    it.response_headers_sent = true;
                    it.response_status = Some(code.as_u16());
                }
                code.is_some()
            });
            if !has_status {
                return self.send_local_response(missing_status_response());
            }
        }
        if let Some(reporter) = &self.reporter {
            let map = direction.headers();
            let fields = self.with_state(|it| it.map(map).cloned().unwrap_or_default());
            reporter.report(Event::Passed { map, fields });
        }
        self.direction_state(direction).output_ended |= end;
        self.effects
            .push_back(QueuedEffect::Headers { direction, end });
    }

    fn emit_body(&mut self, direction: Direction, end: bool) {
        self.direction_state(direction).output_ended |= end;
        let mut chunks = self.take_passing(direction).into_iter().peekable();
        if end && chunks.peek().is_none() {
            self.effects.push_back(QueuedEffect::Body {
                direction,
                data: Bytes::new(),
                end,
            });
        }
        while let Some(data) = chunks.next() {
            let last = chunks.peek().is_none();
            self.effects.push_back(QueuedEffect::Body {
                direction,
                data,
                end: end && last,
            });
        }
    }

    fn emit_trailers(&mut self, direction: Direction) {
        self.direction_state(direction).output_ended = true;
        self.effects.push_back(QueuedEffect::Trailers(direction));
    }

    /// Buffers the data in `passing`. Returns whether the buffer limit is exceeded. With `watermark`, always returns
    /// `false`.
    fn buffer_passing(&mut self, direction: Direction, watermark: bool) -> bool {
        let limit = self.chain.buffer_limit();
        self.with_state(|it| {
            let passing = it.take_passing(direction);
            let buffered = it.buffered_mut(direction).get_or_insert_default();
            buffered.append(passing);
            !watermark && buffered.len() > limit
        })
    }

    fn take_passing(&mut self, direction: Direction) -> Body {
        self.with_state(|it| it.take_passing(direction))
    }

    fn accumulates(&self, direction: Direction, index: usize) -> bool {
        self.with_state(|it| it.filter(index).accumulates(direction))
    }

    /// Ends a plugin's access to the fields and to the buffered body of a direction.
    fn revoke_access(&mut self, direction: Direction, index: usize) {
        self.with_state(|it| {
            if let Some(filter) = it.filters.get_mut(index) {
                filter.accessible_maps &= !(direction.headers().bit() | direction.trailers().bit());
                filter.response_passed |= direction == Direction::Response;
                if let Some(accumulating) = filter.accumulating.get_mut(direction.index()) {
                    *accumulating = false;
                }
            }
        });
    }

    fn progress(&mut self, direction: Direction, index: usize) -> &mut Progress {
        let Some(filter) = self.filters.get_mut(index) else {
            return &mut self.placeholder_progress;
        };
        let [request, response] = &mut filter.progress;
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    /// Converts a position in the order of a direction to the index of the plugin in the chain, and vice versa. Responses
    /// traverse the chain in reverse order.
    fn index(&self, direction: Direction, position_in_order: usize) -> usize {
        match direction {
            Direction::Request => position_in_order,
            Direction::Response => self.filters.len().saturating_sub(position_in_order + 1),
        }
    }
}

/// Returns the response for a stream whose paused body exceeds the buffer limit.
fn too_large_response(direction: Direction) -> LocalResponse {
    match direction {
        Direction::Request => LocalResponse::from_proxy(
            StatusCode::PAYLOAD_TOO_LARGE,
            Bytes::from_static(b"Payload Too Large"),
        ),
        Direction::Response => LocalResponse::from_proxy(
            StatusCode::INTERNAL_SERVER_ERROR,
            Bytes::from_static(b"Internal Server Error"),
        ),
    }
}

/// Returns the response that replaces one without a valid `:status`.
fn missing_status_response() -> LocalResponse {
    LocalResponse::from_proxy(
        StatusCode::BAD_GATEWAY,
        Bytes::from_static(b"missing required header: :status"),
    )
}

impl State {
    fn buffered_mut(&mut self, direction: Direction) -> &mut Option<Body> {
        let [request, response] = &mut self.buffered;
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    fn take_passing(&mut self, direction: Direction) -> Body {
        let [request, response] = &mut self.passing;
        std::mem::take(match direction {
            Direction::Request => request,
            Direction::Response => response,
        })
    }
}
