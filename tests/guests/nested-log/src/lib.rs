//! Collects the response, then adds one megabyte twice, which exceeds what proxies buffer. Logs in `on_log` what it has
//! seen, and when the stream is dropped whether `on_log` was called. If configured, it also logs the status that
//! `on_log` reads.

use serde::Deserialize;
use tidegate_guest::prelude::*;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    fields: bool,
}

struct Nested {
    fields: bool,
}

#[derive(Default)]
struct Seen {
    bytes: u32,
    logged: bool,
}

impl Drop for Seen {
    fn drop(&mut self) {
        let logged = match self.logged {
            true => "was called",
            false => "WAS NOT CALLED",
        };
        log::info!("dropped: bytes {}, on_log {logged}", self.bytes);
    }
}

#[plugin]
impl Plugin for Nested {
    type Config = Config;
    type Stream = Seen;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(Nested {
            fields: config.fields,
        })
    }

    // Exactly one of the two conditions holds. Plugins with conditional methods export their callbacks in a different way.
    #[cfg(target_family = "wasm")]
    fn on_response_headers(&self, _: &mut Seen, http: &mut HttpStream, _: EndOfStream) -> Action {
        http.response_headers()
            .remove("content-length")
            .or_log("remove content-length");
        Action::Continue
    }

    #[cfg(not(target_family = "wasm"))]
    fn on_response_headers(&self, _: &mut Seen, _: &mut HttpStream, _: EndOfStream) -> Action {
        Action::Continue
    }

    fn on_response_body(
        &self,
        seen: &mut Seen,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        if !end.is_end() {
            return Action::Pause;
        }
        seen.bytes = size;
        let more = vec![b'm'; 1_000_000];
        let first = http.response_body().append(&more);
        log::info!("first append: {first:?}");
        let second = http.response_body().append(&more);
        log::info!("second append: {second:?}; saw {}", seen.bytes);
        Action::Continue
    }

    fn on_log(&self, seen: &mut Seen, http: &mut HttpStream) {
        seen.logged = true;
        log::info!("on_log: saw {}", seen.bytes);
        if self.fields {
            let status = http.response_headers().get_str(":status");
            log::info!("on_log: status {status:?}");
        }
    }
}
