//! Answers 429 to requests that come faster than is allowed.
//!
//! Whether a request passes is decided in [`bucket`], which knows no proxy. The count is kept for each worker of the proxy.

mod bucket;

use std::cell::Cell;
use std::num::NonZeroU32;

use serde::Deserialize;
use tidegate_guest::prelude::*;

use bucket::Bucket;

/// What an operator may configure. Unknown fields are rejected with an error that names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Requests that pass in a second, in the long run.
    rate: NonZeroU32,
    /// Requests that may come at once; `rate` of them if not given.
    burst: Option<NonZeroU32>,
}

/// The plugin: one instance for each configuration and worker of the proxy.
struct RateLimit {
    bucket: Cell<Bucket>,
}

#[plugin]
impl Plugin for RateLimit {
    type Config = Config;
    /// The state of a stream; none here.
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let burst = config.burst.unwrap_or(config.rate);
        Ok(RateLimit {
            bucket: Cell::new(Bucket::full(config.rate, burst)),
        })
    }

    fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let mut bucket = self.bucket.get();
        let passes = bucket.take(clock::now());
        self.bucket.set(bucket);
        if passes {
            return Action::Continue;
        }
        let refusal = LocalResponse::new(429)
            .header("retry-after", "1")
            .body("too many requests\n");
        match http.send_response(refusal).or_log("reject a request") {
            Some(()) => Action::Pause,
            None => Action::Continue,
        }
    }
}
