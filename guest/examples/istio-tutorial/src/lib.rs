//! Istio's well-known Wasm tutorial, `tetratelabs/wasm-rate-limiting`, as a component: a fixed window of two requests
//! a second for each worker, and two headers on every response.

use std::cell::Cell;

use serde::Deserialize;
use tidegate_guest::prelude::*;

/// How long a window lasts, in nanoseconds.
const WINDOW: u64 = 1_000_000_000;

/// What an operator may configure. Istio's tutorial has no configuration; its values are the defaults.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

#[plugin(schema = "config.schema.json")]
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
        if let Some(remaining) = self.remaining.get().checked_sub(1) {
            self.remaining.set(remaining);
            return Action::Continue;
        }
        let refusal = LocalResponse::new(403)
            .header("powered-by", "proxy-wasm-go-sdk!!")
            .body("rate limited, wait and retry.");
        match http.send_response(refusal).or_log("send a local response") {
            Some(()) => Action::Pause,
            None => Action::Continue,
        }
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let headers = http.response_headers();
        headers
            .append("who-am-i", "wasm-extension")
            .or_log("add who-am-i");
        headers
            .append("injected-by", "istio-api!")
            .or_log("add injected-by");
        Action::Continue
    }
}

#[cfg(test)]
mod tests {
    use tidegate_guest::read_config;

    use super::*;

    #[test]
    fn configuration_is_optional() {
        let config: Config = read_config(b"").expect("none at all");
        assert_eq!((config.requests_per_second, config.log), (2, true));
        let config: Config =
            read_config(br#"{"requests_per_second": 4294967295, "log": false}"#).expect("both");
        assert_eq!(
            (config.requests_per_second, config.log),
            (4_294_967_295, false)
        );
        let error = read_config::<Config>(br#"{"request_per_second": 1}"#)
            .err()
            .expect("misspelt");
        assert_eq!(
            error.to_string(),
            "request_per_second: unknown field, expected `requests_per_second` or `log`"
        );
    }

    /// `BLESS=1 cargo test -p istio-tutorial` writes the schema that `#[plugin]` puts into the plugin.
    #[test]
    fn schema_file_is_up_to_date() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config))
            .expect("a schema is JSON")
            + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(file, &schema).expect("the schema can be written");
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(
            written, schema,
            "BLESS=1 cargo test -p istio-tutorial writes config.schema.json anew"
        );
    }
}
