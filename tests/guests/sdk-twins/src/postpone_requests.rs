//! The example `postpone_requests`: each request is paused until the next tick of a timer of one second, which resumes it from outside its
//! own callbacks.
//!
//! The original logs the IDs of contexts, which two proxies may choose differently. Here, the plugin logs the paths of the requests. The
//! timer does not stop, because a tick without postponed requests logs nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, MapType, Status};

use crate::log::{critical, info};

const PERIOD: Duration = Duration::from_secs(1);

/// The IDs of the contexts of postponed requests.
type Postponed = RefCell<Vec<u32>>;

/// The plugin context.
#[derive(Default)]
pub struct Plugin {
    postponed: Rc<Postponed>,
}

/// The context of one stream.
struct Stream {
    id: u32,
    postponed: Rc<Postponed>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        self.set_tick_period(PERIOD);
        true
    }

    fn on_tick(&mut self) {
        for id in self.postponed.take() {
            if let Err(status) = resume(id) {
                // The client may have closed the connection.
                critical(&format!("failed to resume a request: {status:?}"));
            }
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let postponed = self.postponed.clone();
        Some(Box::new(Stream { id, postponed }))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        info(&format!("postpone request {path}"));
        self.postponed.borrow_mut().push(self.id);
        Action::Pause
    }
}

/// Resumes the request of another context than that of the current callback.
fn resume(id: u32) -> Result<(), Status> {
    hostcalls::set_effective_context(id)?;
    let path = hostcalls::get_map_value(MapType::HttpRequestHeaders, ":path")?;
    info(&format!("resume request {}", path.unwrap_or_default()));
    hostcalls::resume_http_request()
}
