//! A plugin that does in each callback what its configuration lists, and logs what came of it.
//!
//! One operation for each function of the world, so that a scenario in YAML can try any hostcall in any phase, on its own
//! stream or on one that it kept. It is made with wit-bindgen on the world `all`, without the SDK: a scenario tests
//! hosts, bridge and contract, not the SDK. The configuration's form is in `script.rs`, what an operation does and
//! how its result is written in `operations.rs`.
//!
//! A byte of a header's value or a body is written as one character, U+0000 to U+00FF, here as in the scenarios.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

mod operations;
mod script;

mod bindings {
    wit_bindgen::generate!({ world: "all", path: "../../../wit", export_macro_name: "export_probe" });
}

use bindings::exports::tidegate::proxy::http_filter::{
    FilterBorrow, GuestFilter, PluginContextBorrow,
};
use bindings::exports::tidegate::proxy::plugin::{GuestPluginContext, PluginContext};
use bindings::exports::tidegate::proxy::{
    http_filter, on_log, on_request_body, on_request_headers, on_response_body,
    on_response_headers, plugin,
};
use bindings::tidegate::proxy::http_fields::{self, FieldMap};
use bindings::tidegate::proxy::http_streams::HttpStream;
use bindings::tidegate::proxy::logging::{self, Level};
use bindings::tidegate::proxy::types::Action;
use operations::Metrics;
use script::{Script, Step};

/// The whole plugin.
struct Probe;

/// One configuration's plugin context.
struct Plugin(Rc<State>);

/// What filters share with their plugin context, which may be gone before they are.
struct State {
    script: Script,
    /// Handles that outlive their filters.
    kept: RefCell<BTreeMap<String, Rc<HttpStream>>>,
    metrics: Metrics,
    counted: Cell<u32>,
    /// The first reading of the clock, which later ones are told from.
    started: Cell<Option<u64>>,
    /// The number of the first stream that was asked for it.
    first: Cell<Option<u32>>,
    /// The version of the shared value that was read last.
    read: Cell<u32>,
}

/// What this instance counted, whichever its plugin context: instances are seen through it.
static COUNTED: AtomicU32 = AtomicU32::new(0);

struct Filter {
    plugin: Rc<State>,
    /// The request's path when the filter was made; steps are chosen by it.
    path: String,
    http: RefCell<Option<Rc<HttpStream>>>,
}

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
            // No text begins with this byte.
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
        Ok(PluginContext::new(Plugin(Rc::new(State {
            script,
            kept: RefCell::default(),
            metrics: Metrics::default(),
            counted: Cell::new(0),
            started: Cell::new(None),
            first: Cell::new(None),
            read: Cell::new(0),
        }))))
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
        let plugin = plugin.get::<Plugin>().0.clone();
        let path = match http_fields::get(&http, FieldMap::RequestHeaders, ":path") {
            Ok(Some(path)) => String::from_utf8_lossy(&path).into_owned(),
            Ok(None) | Err(_) => String::new(),
        };
        let filter = Filter {
            plugin,
            path,
            http: RefCell::new(Some(Rc::new(http))),
        };
        filter.run("constructor", |script| &script.constructor, None);
        filter
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if self.plugin.script.announce_drop {
            logging::log(Level::Info, &format!("filter of {} dropped", self.path));
        }
    }
}

impl Filter {
    /// Runs a callback's steps and says what it returns.
    fn run(
        &self,
        callback: &str,
        steps: impl Fn(&Script) -> &Vec<Step>,
        call: Option<(u32, bool)>,
    ) -> Action {
        let mut action = Action::Continue;
        for step in steps(&self.plugin.script) {
            let chosen = step.path.as_ref().is_none_or(|path| *path == self.path)
                && step
                    .end
                    .is_none_or(|end| call.is_some_and(|(_, is)| is == end));
            if chosen {
                operations::run(self, callback, step, call, &mut action);
            }
        }
        action
    }

    /// The stream that a step is about, if the filter still has a handle.
    fn stream(&self, step: &Step) -> Option<Rc<HttpStream>> {
        match &step.of {
            Some(name) => self.plugin.kept.borrow().get(name).cloned(),
            None => self.http.borrow().clone(),
        }
    }

    /// Counts for this plugin context and for the instance.
    fn count(&self) -> (u32, u32) {
        self.plugin.counted.set(self.plugin.counted.get() + 1);
        (
            self.plugin.counted.get(),
            COUNTED.fetch_add(1, Ordering::Relaxed) + 1,
        )
    }
}

// === Callbacks ===

impl on_request_headers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, end_of_stream: bool) -> Action {
        filter.get::<Filter>().run(
            "on-request-headers",
            |script| &script.on_request_headers,
            Some((0, end_of_stream)),
        )
    }
}

impl on_request_body::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, size: u32, end_of_stream: bool) -> Action {
        filter.get::<Filter>().run(
            "on-request-body",
            |script| &script.on_request_body,
            Some((size, end_of_stream)),
        )
    }
}

impl on_response_headers::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, end_of_stream: bool) -> Action {
        let call = Some((0, end_of_stream));
        filter.get::<Filter>().run(
            "on-response-headers",
            |script| &script.on_response_headers,
            call,
        )
    }
}

impl on_response_body::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>, size: u32, end_of_stream: bool) -> Action {
        filter.get::<Filter>().run(
            "on-response-body",
            |script| &script.on_response_body,
            Some((size, end_of_stream)),
        )
    }
}

impl on_log::Guest for Probe {
    fn handle(filter: FilterBorrow<'_>) {
        filter
            .get::<Filter>()
            .run("on-log", |script| &script.on_log, None);
    }
}

bindings::export_probe!(Probe with_types_in bindings);
