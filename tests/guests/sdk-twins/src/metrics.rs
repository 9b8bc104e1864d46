//! The example `metrics`: one counter for each value of the header `my-custom-header`. The name of the counter contains the value, so that
//! Envoy can be configured to derive tags from it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, MetricType, Status};

use crate::log::critical;

/// The IDs of the counters by the value of the header.
type Counters = RefCell<BTreeMap<String, u32>>;

/// The plugin context.
#[derive(Default)]
pub struct Plugin {
    counters: Rc<Counters>,
}

/// The context of one stream.
struct Stream {
    counters: Rc<Counters>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let counters = self.counters.clone();
        Some(Box::new(Stream { counters }))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(value) = self.get_http_request_header("my-custom-header")
            && let Err(status) = count(&self.counters, value)
        {
            critical(&format!("failed to count: {status:?}"));
        }
        Action::Continue
    }
}

/// Increments the counter for a value, and defines it first if it is new.
fn count(counters: &Counters, value: String) -> Result<(), Status> {
    let known = counters.borrow().get(&value).copied();
    let counter = match known {
        Some(counter) => counter,
        None => {
            let name = format!("custom_header_value_counts_value={value}_reporter=wasmgosdk");
            let counter = hostcalls::define_metric(MetricType::Counter, &name)?;
            counters.borrow_mut().insert(value, counter);
            counter
        }
    };
    hostcalls::increment_metric(counter, 1)
}
