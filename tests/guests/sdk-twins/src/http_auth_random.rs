//! The example `http_auth_random`: the cluster `httpbin` receives the headers of each request, and the body of its response decides whether
//! the request is let through.
//!
//! In the original, that body is random. Here, the scenario determines it.

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::Action;

use crate::fields::comparable;
use crate::log::{critical, info};

const CLUSTER: &str = "httpbin";
const TIMEOUT: Duration = Duration::from_secs(50);
const FORBIDDEN: &str = "access forbidden";

/// The plugin context.
pub struct Plugin;

/// The context of one stream.
struct Stream;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, _: usize, body_size: usize, _: usize) {
        for (name, value) in comparable(self.get_http_call_response_headers()) {
            info(&format!("response header from {CLUSTER}: {name}: {value}"));
        }
        let body = self.get_http_call_response_body(0, body_size);
        if fnv_1a(&body.unwrap_or_default()).is_multiple_of(2) {
            info("access granted");
            self.resume_http_request();
            return;
        }
        info(FORBIDDEN);
        let headers = vec![("powered-by", "proxy-wasm-go-sdk!!")];
        self.send_http_response(403, headers, Some(FORBIDDEN.as_bytes()));
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = self.get_http_request_headers();
        for (name, value) in comparable(headers.clone()) {
            info(&format!("request header: {name}: {value}"));
        }
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        match self.dispatch_http_call(CLUSTER, headers, None, Vec::new(), TIMEOUT) {
            Ok(_) => {
                info(&format!("http call dispatched to {CLUSTER}"));
                Action::Pause
            }
            Err(status) => {
                critical(&format!("dispatch httpcall failed: {status:?}"));
                Action::Continue
            }
        }
    }
}

/// The 32-bit FNV-1a hash.
fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
