//! The probe, built with the SDK. Its script and operations are those of `tests/guests/probe`.
//!
//! The SDK passes the state of the stream to callbacks by mutable reference, so a stream cannot be entered twice.
//! Scenarios that run with both probes show that no proxy calls a stream within a callback of the same stream.

use std::rc::Rc;

use tidegate_guest::prelude::*;

mod calls;
mod hostcalls;
#[path = "../../probe/src/operations.rs"]
mod operations;
#[path = "../../probe/src/queues.rs"]
mod queues;
#[path = "../../probe/src/receiver.rs"]
mod receiver;
#[path = "../../probe/src/script.rs"]
mod script;

/// The hostcalls for the probe's operations, implemented with the SDK's handles.
mod bindings {
    mod generated {
        wit_bindgen::generate!({
            world: "imports",
            path: "../../../wit",
            with: {
                "tidegate:proxy/http-call-types@0.1.0": tidegate_guest::__private::bindings::http_call_types,
                "tidegate:proxy/http-streams@0.1.0": tidegate_guest::__private::bindings::http_streams,
                "tidegate:proxy/types@0.1.0": tidegate_guest::__private::bindings::types,
            },
            generate_all,
        });
    }

    pub use tidegate_guest::shared_queues::QueueId;

    pub mod tidegate {
        pub mod proxy {
            pub use super::super::generated::tidegate::proxy::*;
            pub use crate::calls::{http_call_types, http_calls, timers};
            pub use crate::hostcalls::{
                foreign_functions, logging, plugin_properties, shared_queues,
            };
            pub use tidegate_guest::__private::bindings::{http_streams, types};
            pub use tidegate_guest::{plugin_lifecycle, vm_configuration};
        }
    }
}

use bindings::tidegate::proxy::logging::{self, Level};
use receiver::{Event, Filter, State};
use script::Script;

struct Probe(Rc<State>);

/// The state of a stream, created at its first callback.
#[derive(Default)]
struct Stream(Option<Filter>);

#[plugin]
impl Plugin for Probe {
    type Config = Script;
    type Stream = Stream;

    fn configure(script: Script) -> Result<Self, ConfigError> {
        if let Some(message) = &script.announce {
            logging::log(Level::Info, &format!("configure: {message}"));
        }
        let state = Rc::new(State::new(script));
        state.run("configure", |it| &it.configure, Event::Empty);
        Ok(Probe(state))
    }

    fn on_request_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let event = data(0, end);
        filter.run("on-request-headers", |it| &it.on_request_headers, event)
    }

    fn on_request_body(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let event = data(size, end);
        filter.run("on-request-body", |it| &it.on_request_body, event)
    }

    fn on_request_trailers(&self, stream: &mut Stream, http: &mut HttpStream) -> Action {
        let filter = self.filter(stream, http);
        filter.run(
            "on-request-trailers",
            |it| &it.on_request_trailers,
            Event::Empty,
        )
    }

    fn on_response_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let event = data(0, end);
        filter.run("on-response-headers", |it| &it.on_response_headers, event)
    }

    fn on_response_body(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let event = data(size, end);
        filter.run("on-response-body", |it| &it.on_response_body, event)
    }

    fn on_response_trailers(&self, stream: &mut Stream, http: &mut HttpStream) -> Action {
        let filter = self.filter(stream, http);
        filter.run(
            "on-response-trailers",
            |it| &it.on_response_trailers,
            Event::Empty,
        )
    }

    fn on_log(&self, stream: &mut Stream, http: &mut HttpStream) {
        let filter = self.filter(stream, http);
        filter.run("on-log", |it| &it.on_log, Event::Empty);
    }

    fn on_http_call_response(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        call: CallId,
        outcome: Outcome,
    ) {
        let outcome = calls::outcome(outcome);
        let event = self.0.outcome(call, &outcome);
        let filter = self.filter(stream, http);
        filter.run(
            "on-http-call-response",
            |it| &it.on_http_call_response,
            event,
        );
    }

    fn on_plugin_http_call_response(&self, call: CallId, outcome: Outcome) {
        let outcome = calls::outcome(outcome);
        self.0.run(
            "on-plugin-http-call-response",
            |it| &it.on_plugin_http_call_response,
            self.0.outcome(call, &outcome),
        );
    }

    fn on_tick(&self) {
        self.0.run("on-tick", |it| &it.on_tick, self.0.tick());
    }

    fn on_queue_ready(&self, queue: QueueId) {
        let event = Event::Queue(queue);
        self.0.run("on-queue-ready", |it| &it.on_queue_ready, event);
    }

    fn on_plugin_done(&self) -> Completion {
        self.0.end()
    }
}

// === impl Probe ===

impl Probe {
    /// Returns the stream's filter, which is created at its first callback.
    fn filter<'s>(&self, stream: &'s mut Stream, http: &mut HttpStream) -> &'s Filter {
        stream.0.get_or_insert_with(|| {
            Filter::create(self.0.clone(), tidegate_guest::__private::handle(http))
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(message) = &self.0.script.announce_end {
            logging::log(Level::Info, &format!("end: {message}"));
        }
    }
}

/// Returns the arguments of a headers or body callback.
fn data(size: u32, end: EndOfStream) -> Event<'static> {
    let end = end.is_end();
    Event::Data { size, end }
}
