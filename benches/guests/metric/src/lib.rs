//! Increments a counter in each response. The configuration is the number of increments.
//!
//! The request callback is defined so that the filter exists before the response callback is measured.

use tidegate_guest::metrics::Counter;
use tidegate_guest::prelude::*;

struct Metric {
    times: u32,
    counter: Counter,
}

#[plugin]
impl Plugin for Metric {
    type Config = u32;
    type Stream = ();

    fn configure(times: u32) -> Result<Self, ConfigError> {
        let counter = Counter::define("bench.hits");
        let counter = counter.map_err(|error| ConfigError::at("", error.to_string()))?;
        Ok(Metric { times, counter })
    }

    fn on_request_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action {
        Action::Continue
    }

    fn on_response_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action {
        for _ in 0..self.times {
            self.counter.increment();
        }
        Action::Continue
    }
}
