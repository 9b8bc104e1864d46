//! The example `shared_queue`: one plugin sends the headers of requests and responses through two queues, and for each queue there is a
//! plugin that receives them.
//!
//! In the original, the receivers have a VM ID, by which the sender finds their queues, and the sender also sends data
//! about TCP connections. Here, all plugins have the empty VM ID, and there is only HTTP.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::Action;
use serde_json::json;

use crate::fields::comparable;
use crate::log::{critical, info};

const VM_ID: &str = "";
const REQUESTS: &str = "http_request_headers";
const RESPONSES: &str = "http_response_headers";

/// The plugin context of the sender.
pub struct Sender;

/// The sender's context of one stream.
struct Stream;

/// The plugin context of a receiver.
pub struct Receiver {
    queue_name: String,
}

// === impl Sender ===

impl Context for Sender {}

impl RootContext for Sender {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

// === impl Stream ===

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        enqueue(REQUESTS, self.get_http_request_headers());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        enqueue(RESPONSES, self.get_http_response_headers());
        Action::Continue
    }
}

/// Adds each header to a queue, as JSON.
fn enqueue(queue_name: &str, headers: Vec<(String, String)>) {
    let Ok(Some(queue)) = hostcalls::resolve_shared_queue(VM_ID, queue_name) else {
        return critical(&format!("error resolving queue id: {queue_name}"));
    };
    for (key, value) in comparable(headers) {
        let message = json!({ "key": key, "value": value }).to_string();
        match hostcalls::enqueue_shared_queue(queue, Some(message.as_bytes())) {
            Ok(()) => info(&format!("[{queue_name}] queued data: {message}")),
            Err(status) => critical(&format!("error queueing: {status:?}")),
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// Creates the context of a plugin that receives from a queue.
    pub fn new(queue_name: String) -> Self {
        Self { queue_name }
    }
}

impl Context for Receiver {}

impl RootContext for Receiver {
    fn on_configure(&mut self, _: usize) -> bool {
        let queue = self.register_shared_queue(&self.queue_name);
        info(&format!(
            "queue \"{}\" registered as queueID={queue}",
            self.queue_name
        ));
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        match self.dequeue_shared_queue(queue) {
            Ok(Some(data)) => info(&format!(
                "dequeued data from {}(queueID={queue}): {}",
                self.queue_name,
                String::from_utf8_lossy(&data)
            )),
            Ok(None) => {}
            Err(status) => critical(&format!(
                "error retrieving data from queue {queue}: {status:?}"
            )),
        }
    }
}
