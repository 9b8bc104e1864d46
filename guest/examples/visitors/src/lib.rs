//! Numbers the requests of all workers with a count in shared data, and stores each number as a property of the stream.

use tidegate_guest::prelude::*;

/// The key of the count in shared data, which all workers can read.
const COUNT: &str = "visitors.count";

/// The name of the property with the number, which later plugins in the chain can read.
const NUMBER: &str = "visitors.number";

struct Visitors;

#[plugin]
impl Plugin for Visitors {
    type Config = ();
    type Stream = ();

    fn configure(_: ()) -> Result<Self, ConfigError> {
        Ok(Visitors)
    }

    fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let counted = shared_data::update(COUNT, |count| {
            number(count).wrapping_add(1).to_le_bytes().to_vec()
        });
        if let Some(count) = counted.or_log("count a request") {
            let count = number(Some(&count)).to_string();
            http.set_property(NUMBER, count).or_log("number a request");
        }
        Action::Continue
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        let headers = http.response_headers();
        if let Ok(Some(number)) = http.property_str(&[NUMBER]) {
            headers.set("x-visitor", number).or_log("set x-visitor");
        }
        // The status that the upstream sent, even if a plugin has changed it.
        if let Ok(Some(code)) = http.property_i64(&["response", "code"]) {
            headers
                .set("x-answered", code.to_string())
                .or_log("set x-answered");
        }
        Action::Continue
    }
}

/// A value that is not a number counts as 0, because other plugins may write to the same key.
fn number(stored: Option<&[u8]>) -> u64 {
    stored
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
