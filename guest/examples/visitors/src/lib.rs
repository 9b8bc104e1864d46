//! Numbers requests over all workers, in shared data, and carries the number along as a property of the stream.

use tidegate_guest::prelude::*;

/// Where the count is, for all workers.
const COUNT: &str = "visitors.count";

/// Where a stream's number is, for every plugin further on.
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
            headers.set("x-visitor", number).or_log("tell the number");
        }
        // What upstream said, whatever plugins make of it.
        if let Ok(Some(code)) = http.property_i64(&["response", "code"]) {
            headers
                .set("x-answered", code.to_string())
                .or_log("tell the answer");
        }
        Action::Continue
    }
}

/// Whatever is no number counts as none: others may write under the same key.
fn number(stored: Option<&[u8]>) -> u64 {
    stored
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
