//! The example `multiple_dispatches`: a response is paused until ten HTTP calls that were sent at the same time have ended.

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::Action;

use crate::log::{critical, info};

const CLUSTER: &str = "web_service";
const CALLS: u32 = 10;
const TIMEOUT: Duration = Duration::from_secs(50);

/// The plugin context.
pub struct Plugin;

/// The context of one stream.
struct Stream {
    pending: u32,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { pending: 0 }))
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.pending = self.pending.saturating_sub(1);
        info(&format!("pending dispatched requests: {}", self.pending));
        if self.pending == 0 {
            self.add_http_response_header("total-dispatched", &CALLS.to_string());
            info(&format!(
                "response resumed after processing {CALLS} dispatched requests"
            ));
            self.resume_http_response();
        }
    }
}

impl HttpContext for Stream {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        for _ in 0..CALLS {
            let headers = vec![
                (":method", "GET"),
                (":path", "/"),
                (":authority", CLUSTER),
                ("accept", "*/*"),
            ];
            match self.dispatch_http_call(CLUSTER, headers, None, Vec::new(), TIMEOUT) {
                Ok(_) => self.pending += 1,
                Err(status) => critical(&format!("dispatch httpcall failed: {status:?}")),
            }
        }
        match self.pending {
            0 => Action::Continue,
            _ => Action::Pause,
        }
    }
}
