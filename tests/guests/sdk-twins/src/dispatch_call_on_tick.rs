//! The example `dispatch_call_on_tick`: a timer of 100 ms sends HTTP calls that belong to no stream. The plugin logs the headers and the
//! trailers of the responses.
//!
//! The original chooses the path of each call at random and never stops. Here, there is one call for each path.

use std::time::Duration;

use proxy_wasm::traits::{Context, RootContext};

use crate::fields::comparable;
use crate::log::{critical, info};

const PERIOD: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(5);
const CLUSTER: &str = "web_service";
const PATHS: [&str; 2] = ["/ok", "/fail"];

/// The plugin context.
#[derive(Default)]
pub struct Plugin {
    sent: usize,
    answered: usize,
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.answered += 1;
        info(&format!("responses: {}", self.answered));
        for (name, value) in comparable(self.get_http_call_response_headers()) {
            info(&format!(
                "response header for the dispatched call: {name}: {value}"
            ));
        }
        for (name, value) in comparable(self.get_http_call_response_trailers()) {
            info(&format!(
                "response trailer for the dispatched call: {name}: {value}"
            ));
        }
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        self.set_tick_period(PERIOD);
        true
    }

    fn on_tick(&mut self) {
        // With two calls in progress, the order of their responses would depend on timing.
        if self.answered < self.sent {
            return;
        }
        let Some(path) = PATHS.get(self.sent) else {
            self.set_tick_period(Duration::ZERO);
            return;
        };
        let headers = vec![
            (":method", "GET"),
            (":path", *path),
            (":authority", CLUSTER),
            // Servers send trailers only to clients that accept them.
            ("te", "trailers"),
        ];
        match self.dispatch_http_call(CLUSTER, headers, None, Vec::new(), TIMEOUT) {
            Ok(_) => self.sent += 1,
            Err(status) => critical(&format!("dispatch httpcall failed: {status:?}")),
        }
    }
}
