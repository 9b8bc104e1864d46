//! Appends one header to each response, which is the minimal plugin with a hostcall.
//!
//! The request callback is defined so that the filter exists before the response callback is measured.

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
