//! Appends one header to each response: the least that a plugin can do with a hostcall.
//!
//! The request's callback is there so that the filter exists by the time that the response's is measured.

use tidegate_guest::prelude::*;

struct Append;

#[plugin]
impl Plugin for Append {
    type Config = ();
    type Stream = ();

    fn configure((): ()) -> Result<Self, ConfigError> {
        Ok(Append)
    }

    fn on_request_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action {
        Action::Continue
    }

    fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
        match http.response_headers().append("x-appended", "by the bench") {
            Ok(()) => Action::Continue,
            Err(_) => Action::Pause,
        }
    }
}
