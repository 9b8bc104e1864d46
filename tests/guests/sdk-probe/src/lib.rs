//! The probe, made with the SDK: its script and operations are those of `tests/guests/probe`.
//!
//! The SDK lends a callback the stream's state, so it enters no stream twice. Scenarios that run with both probes show that
//! no proxy calls a stream within a callback of the same stream.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_guest::prelude::*;

#[path = "../../probe/src/operations.rs"]
mod operations;
#[path = "../../probe/src/script.rs"]
mod script;

/// The hostcalls as the probe's operations see them, on the SDK's handles.
mod bindings {
    mod generated {
        wit_bindgen::generate!({
            world: "imports",
            path: "../../../wit",
            with: {
                "tidegate:proxy/types@0.1.0": tidegate_guest::__private::bindings::types,
                "tidegate:proxy/http-streams@0.1.0": tidegate_guest::__private::bindings::http_streams,
            },
            generate_all,
        });
    }

    pub mod tidegate {
        pub mod proxy {
            pub use super::super::generated::tidegate::proxy::*;
            pub use tidegate_guest::__private::bindings::{http_streams, types};
        }
    }
}

use bindings::tidegate::proxy::http_fields::{self, FieldMap};
use bindings::tidegate::proxy::http_streams::HttpStream as Handle;
use bindings::tidegate::proxy::logging::{self, Level};
use operations::Metrics;
use script::{Script, Step};

struct Probe(Rc<State>);

/// What filters share with their plugin context, which may be gone before they are.
struct State {
    script: Script,
    kept: RefCell<BTreeMap<String, Rc<Handle>>>,
    metrics: Metrics,
    counted: Cell<u32>,
    started: Cell<Option<u64>>,
    first: Cell<Option<u32>>,
    read: Cell<u32>,
}

static COUNTED: AtomicU32 = AtomicU32::new(0);

/// What is kept for a stream, from its first callback on.
#[derive(Default)]
struct Stream(Option<Filter>);

struct Filter {
    plugin: Rc<State>,
    path: String,
    http: RefCell<Option<Rc<Handle>>>,
}

#[plugin]
impl Plugin for Probe {
    type Config = Script;
    type Stream = Stream;

    fn configure(script: Script) -> Result<Self, ConfigError> {
        if let Some(message) = &script.announce {
            logging::log(Level::Info, &format!("configure: {message}"));
        }
        Ok(Probe(Rc::new(State {
            script,
            kept: RefCell::default(),
            metrics: Metrics::default(),
            counted: Cell::new(0),
            started: Cell::new(None),
            first: Cell::new(None),
            read: Cell::new(0),
        })))
    }

    fn on_request_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let call = Some((0, end.is_end()));
        filter.run("on-request-headers", |it| &it.on_request_headers, call)
    }

    fn on_request_body(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let call = Some((size, end.is_end()));
        filter.run("on-request-body", |it| &it.on_request_body, call)
    }

    fn on_response_headers(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let call = Some((0, end.is_end()));
        filter.run("on-response-headers", |it| &it.on_response_headers, call)
    }

    fn on_response_body(
        &self,
        stream: &mut Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let filter = self.filter(stream, http);
        let call = Some((size, end.is_end()));
        filter.run("on-response-body", |it| &it.on_response_body, call)
    }

    fn on_log(&self, stream: &mut Stream, http: &mut HttpStream) {
        let filter = self.filter(stream, http);
        filter.run("on-log", |it| &it.on_log, None);
    }
}

// === impl Probe ===

impl Probe {
    /// The stream's filter, made at its first callback.
    fn filter<'s>(&self, stream: &'s mut Stream, http: &mut HttpStream) -> &'s Filter {
        stream.0.get_or_insert_with(|| {
            let handle = tidegate_guest::__private::handle(http);
            let path = match http_fields::get(&handle, FieldMap::RequestHeaders, ":path") {
                Ok(Some(path)) => String::from_utf8_lossy(&path).into_owned(),
                Ok(None) | Err(_) => String::new(),
            };
            let filter = Filter {
                plugin: self.0.clone(),
                path,
                http: RefCell::new(Some(handle)),
            };
            filter.run("constructor", |it| &it.constructor, None);
            filter
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

// === impl Filter ===

impl Drop for Filter {
    fn drop(&mut self) {
        if self.plugin.script.announce_drop {
            logging::log(Level::Info, &format!("filter of {} dropped", self.path));
        }
    }
}

impl Filter {
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

    fn stream(&self, step: &Step) -> Option<Rc<Handle>> {
        match &step.of {
            Some(name) => self.plugin.kept.borrow().get(name).cloned(),
            None => self.http.borrow().clone(),
        }
    }

    fn count(&self) -> (u32, u32) {
        self.plugin.counted.set(self.plugin.counted.get() + 1);
        (
            self.plugin.counted.get(),
            COUNTED.fetch_add(1, Ordering::Relaxed) + 1,
        )
    }
}
