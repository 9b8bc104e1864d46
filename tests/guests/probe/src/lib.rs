//! A plugin that executes the operations in its configuration in each callback, and logs the results.
//!
//! There is an operation for each function of the world, so that a scenario in YAML can call any hostcall in any phase,
//! on its own stream or on one that it has kept. The plugin uses wit-bindgen with the world `all` and not the SDK,
//! because scenarios test the hosts, the bridge and the contract. `script.rs` defines the format of the configuration,
//! `receiver.rs` the context of callbacks, and `operations.rs` and `queues.rs` the operations and the format of their
//! results.
//!
//! A byte of a header value or a body is written as one character, U+0000 to U+00FF, as in the scenarios.

use std::rc::Rc;

mod operations;
mod queues;
mod receiver;
mod script;

mod bindings {
    wit_bindgen::generate!({ world: "all", path: "../../../wit", export_macro_name: "export_probe" });

    /// Identifies a queue.
    pub type QueueId = u32;
}

use bindings::QueueId;
use bindings::exports::tidegate::proxy::http_filter::{
    FilterBorrow, GuestFilter, PluginContextBorrow,
};
use bindings::exports::tidegate::proxy::plugin::{GuestPluginContext, PluginContext};
use bindings::exports::tidegate::proxy::{
    http_filter, on_http_call_response, on_log, on_plugin_done, on_plugin_http_call_response,
    on_queue_ready, on_request_body, on_request_headers, on_request_trailers, on_response_body,
    on_response_headers, on_response_trailers, on_tick, plugin,
};
use bindings::tidegate::proxy::http_call_types::{CallId, Outcome};
use bindings::tidegate::proxy::http_streams::HttpStream;
use bindings::tidegate::proxy::logging::{self, Level};
use bindings::tidegate::proxy::types::{Action, Completion};
use receiver::{Event, Filter, State};
use script::Script;

/// The plugin.
struct Probe;

/// The plugin context.
struct Plugin(Rc<State>);

// === impl Plugin ===

impl plugin::Guest for Probe {
    type PluginContext = Plugin;
}

impl GuestPluginContext for Plugin {
    fn configure(configuration: Vec<u8>) -> Result<PluginContext, String> {
        let script = if configuration.is_empty() {
            logging::log(Level::Info, "configure: nothing given");
            Script::default()
        } else if let Some(rest) = configuration.strip_prefix(b"\xff") {
            // No valid UTF-8 begins with this byte.
            logging::log(
                Level::Info,
                &format!("configure: bytes {}", rest.escape_ascii()),
            );
            Script::default()
        } else {
            serde_json::from_slice(&configuration)
                .map_err(|error| format!("configuration: {error}"))?
        };
        if let Some(message) = &script.announce {
            logging::log(Level::Info, &format!("configure: {message}"));
        }
        if script.trap {
            operations::trap();
        }
        if let Some(reason) = script.refuse {
            return Err(reason);
        }
        let state = Rc::new(State::new(script));
        state.run("configure", |script| &script.configure, Event::Empty);
        Ok(PluginContext::new(Plugin(state)))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if let Some(message) = &self.0.script.announce_end {
            logging::log(Level::Info, &format!("end: {message}"));
        }
    }
}

// === impl Filter ===

impl http_filter::Guest for Probe {
    type Filter = Filter;
}

impl GuestFilter for Filter {
    fn new(plugin: PluginContextBorrow<'_>, http: HttpStream) -> Self {
        Filter::create(plugin.get::<Plugin>().0.clone(), Rc::new(http))
    }
}

// === Callbacks ===

impl on_request_headers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, end: bool) -> Action {
        filter.get::<Filter>().run(
            "on-request-headers",
            |script| &script.on_request_headers,
            Event::Data { size: 0, end },
        )
    }
}

impl on_request_body::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, size: u32, end: bool) -> Action {
        filter.get::<Filter>().run(
            "on-request-body",
            |script| &script.on_request_body,
            Event::Data { size, end },
        )
    }
}

impl on_request_trailers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>) -> Action {
        filter.get::<Filter>().run(
            "on-request-trailers",
            |script| &script.on_request_trailers,
            Event::Empty,
        )
    }
}

impl on_response_headers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, end: bool) -> Action {
        filter.get::<Filter>().run(
            "on-response-headers",
            |script| &script.on_response_headers,
            Event::Data { size: 0, end },
        )
    }
}

impl on_response_body::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, size: u32, end: bool) -> Action {
        filter.get::<Filter>().run(
            "on-response-body",
            |script| &script.on_response_body,
            Event::Data { size, end },
        )
    }
}

impl on_response_trailers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>) -> Action {
        filter.get::<Filter>().run(
            "on-response-trailers",
            |script| &script.on_response_trailers,
            Event::Empty,
        )
    }
}

impl on_log::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>) {
        filter
            .get::<Filter>()
            .run("on-log", |script| &script.on_log, Event::Empty);
    }
}

impl on_http_call_response::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, call: CallId, outcome: Outcome) {
        let filter = filter.get::<Filter>();
        filter.run(
            "on-http-call-response",
            |script| &script.on_http_call_response,
            filter.plugin.outcome(call, &outcome),
        );
    }
}

impl on_plugin_http_call_response::Guest for Probe {
    fn handle(plugin: PluginContextBorrow<'_>, call: CallId, outcome: Outcome) {
        let state = &plugin.get::<Plugin>().0;
        state.run(
            "on-plugin-http-call-response",
            |script| &script.on_plugin_http_call_response,
            state.outcome(call, &outcome),
        );
    }
}

impl on_tick::Guest for Probe {
    fn handle(plugin: PluginContextBorrow<'_>) {
        let state = &plugin.get::<Plugin>().0;
        state.run("on-tick", |script| &script.on_tick, state.tick());
    }
}

impl on_queue_ready::Guest for Probe {
    fn handle(plugin: PluginContextBorrow<'_>, queue: QueueId) {
        let state = &plugin.get::<Plugin>().0;
        state.run(
            "on-queue-ready",
            |script| &script.on_queue_ready,
            Event::Queue(queue),
        );
    }
}

impl on_plugin_done::Guest for Probe {
    fn handle(plugin: PluginContextBorrow<'_>) -> Completion {
        let state = &plugin.get::<Plugin>().0;
        state.end()
    }
}

bindings::export_probe!(Probe with_types_in bindings);
