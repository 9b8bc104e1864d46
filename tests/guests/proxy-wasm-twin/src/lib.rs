//! A twin of the plugin of the Istio tutorial, written with the Proxy-Wasm Rust SDK.
//!
//! The host must run modules that were built with that SDK. In addition, `guest/examples/istio-tutorial` is compared
//! with this plugin: it has the same behavior, configuration and log line, and passes the same scenario.

use std::cell::Cell;
use std::rc::Rc;
use std::time::SystemTime;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

/// The SDK defines the entry point as a public function without a comment. In a private module, the lint accepts it.
mod start {
    use super::{LogLevel, Root, RootContext};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Trace);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
    }}
}

/// One second, in the unit of the clock.
const SECOND: u64 = 1_000_000_000;

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
struct Config {
    requests_per_second: u64,
    log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests_per_second: 2,
            log: true,
        }
    }
}

#[derive(Default)]
struct Root {
    config: Config,
    window: Rc<Window>,
}

/// The fixed window, which all streams of a worker share.
#[derive(Default)]
struct Window {
    remaining: Cell<u64>,
    refilled: Cell<u64>,
}

struct Stream {
    config: Config,
    window: Rc<Window>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let Some(bytes) = self
            .get_plugin_configuration()
            .filter(|bytes| !bytes.is_empty())
        else {
            return true;
        };
        match serde_json::from_slice(&bytes) {
            Ok(config) => {
                self.config = config;
                true
            }
            Err(error) => {
                say(LogLevel::Error, &format!("configuration: {error}"));
                false
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            config: self.config,
            window: self.window.clone(),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let now = nanoseconds(self.get_current_time());
        let window = &self.window;
        if now > window.refilled.get() + SECOND {
            window.remaining.set(self.config.requests_per_second);
            window.refilled.set(now);
        }
        if self.config.log {
            let line = format!(
                "Current time {now}, last refill time {}, the remain token {}",
                window.refilled.get(),
                window.remaining.get()
            );
            say(LogLevel::Critical, &line);
        }
        if window.remaining.get() == 0 {
            let headers = vec![("powered-by", "proxy-wasm-go-sdk!!")];
            self.send_http_response(403, headers, Some(b"rate limited, wait and retry."));
            return Action::Pause;
        }
        window.remaining.set(window.remaining.get() - 1);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("who-am-i", "wasm-extension");
        self.add_http_response_header("injected-by", "istio-api!");
        Action::Continue
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn say(level: LogLevel, line: &str) {
    // An error of the log could not be logged either.
    let _ = proxy_wasm::hostcalls::log(level, line);
}
