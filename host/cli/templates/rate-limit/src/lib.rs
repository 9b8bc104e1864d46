//! Responds with 429 to requests over a limit.
//!
//! [`bucket`] decides whether a request passes. It does not depend on a proxy. Each worker of the proxy has its own count.

mod bucket;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::num::NonZeroU32;

use serde::Deserialize;
use tidegate_guest::prelude::*;

use bucket::Bucket;

/// What an operator may configure. Unknown fields are rejected with an error that names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The number of requests that are allowed in each second, on average.
    rate: NonZeroU32,
    /// The number of requests that are allowed at once. Default: `rate`.
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

    fn on_request_headers(
        &self,
        _: &mut (),
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        let mut bucket = self.bucket.get();
        let passes = bucket.take(clock::now());
        self.bucket.set(bucket);
        if passes {
            return Ok(Action::Continue);
        }
        let refusal = LocalResponse::new(429)
            .header("retry-after", "1")
            .body("too many requests\n");
        http.respond(refusal)
    }
}
