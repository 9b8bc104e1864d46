//! Istio's well-known Wasm tutorial, `tetratelabs/wasm-rate-limiting`, as a component: a fixed window of two requests
//! a second for each worker, and two headers on every response.

use std::cell::Cell;

use serde::Deserialize;
use tidegate_guest::prelude::*;

/// How long a window lasts, in nanoseconds.
const WINDOW: u64 = 1_000_000_000;

/// What an operator may set; the tutorial has no configuration and these defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// How many requests pass in a second.
    requests_per_second: u64,
    /// Whether a line is logged for each request.
    log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            requests_per_second: 2,
            log: true,
        }
    }
}

struct Tutorial {
    config: Config,
    remaining: Cell<u64>,
    last_refill: Cell<u64>,
}

#[plugin]
impl Plugin for Tutorial {
    type Config = Config;
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(Tutorial {
            config,
            remaining: Cell::new(0),
            last_refill: Cell::new(0),
        })
    }

    fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let now = clock::now();
        if now > self.last_refill.get().saturating_add(WINDOW) {
            self.remaining.set(self.config.requests_per_second);
            self.last_refill.set(now);
        }
        if self.config.log {
            log::critical!(
                "Current time {now}, last refill time {}, the remain token {}",
                self.last_refill.get(),
                self.remaining.get()
            );
        }
        match self.remaining.get().checked_sub(1) {
            Some(remaining) => {
                self.remaining.set(remaining);
                Action::Continue
            }
            None => {
                let refusal = LocalResponse::new(403)
                    .header("powered-by", "proxy-wasm-go-sdk!!")
                    .body("rate limited, wait and retry.");
                match http.send_response(refusal) {
                    Ok(()) => Action::Pause,
                    Err(_) => {
                        log::error!("cannot answer");
                        Action::Continue
                    }
                }
            }
        }
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        for (name, value) in [
            ("who-am-i", "wasm-extension"),
            ("injected-by", "istio-api!"),
        ] {
            if http.response_headers().append(name, value).is_err() {
                log::error!("cannot add a header");
            }
        }
        Action::Continue
    }
}
