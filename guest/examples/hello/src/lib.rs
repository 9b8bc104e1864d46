//! The smallest plugin: a header on every response.

use tidegate_guest::prelude::*;

struct Hello;

#[plugin]
impl Plugin for Hello {
    type Config = ();
    type Stream = ();

    fn configure(_: ()) -> Result<Self, ConfigError> {
        Ok(Hello)
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        http.response_headers()
            .append("x-hello", "tide")
            .or_log("say hello");
        Action::Continue
    }
}
