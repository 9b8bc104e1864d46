//! A plugin that limits how many requests pass in a time.
//!
//! Here is what the proxy sees of it: configuration in, requests past a [`Limiter`], rejections out. Whether a request passes
//! is decided in [`limiter`], which knows no proxy; what may be configured is in [`config`].
//!
//! The count is kept for each worker of the proxy, as with every plugin: the limit of the whole proxy is that of one worker
//! times their number.

pub mod config;
pub mod limiter;

use std::cell::Cell;

use tidegate_guest::prelude::*;

use config::Config;
use limiter::Limiter;

/// The plugin.
pub struct RateLimit {
    limiter: Cell<Limiter>,
    refusal: LocalResponse,
}

#[plugin(schema = "config.schema.json")]
impl Plugin for RateLimit {
    type Config = Config;
    type Stream = ();

    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(RateLimit {
            limiter: Cell::new(config.limiter()?),
            refusal: config.into_refusal()?,
        })
    }

    fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let mut limiter = self.limiter.get();
        let passes = limiter.passes(clock::now());
        self.limiter.set(limiter);
        if passes
            || http
                .send_response(self.refusal.clone())
                .or_log("reject a request")
                .is_none()
        {
            Action::Continue
        } else {
            Action::Pause
        }
    }
}

#[cfg(test)]
mod tests;
