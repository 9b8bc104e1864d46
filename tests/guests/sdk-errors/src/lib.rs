//! Callbacks that return errors, whose streams end with status 503.

use tidegate_guest::Error;
use tidegate_guest::prelude::*;

mod callbacks;

use callbacks::Path;

struct Errors;

#[plugin]
impl Plugin for Errors {
    type Config = ();
    type Stream = Path;

    fn configure(_: ()) -> Result<Self, ConfigError> {
        Ok(Errors)
    }

    fn on_stream(&self, http: &HttpStream) -> Path {
        Path::of(http)
    }

    fn on_request_headers(
        &self,
        path: &mut Path,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        callbacks::on_request_headers(path, http)
    }

    fn on_http_call_response(
        &self,
        path: &mut Path,
        http: &mut HttpStream,
        _: CallId,
        _: Outcome,
    ) -> Result<(), Error> {
        callbacks::on_http_call_response(path, http)
    }

    fn on_response_headers(
        &self,
        path: &mut Path,
        http: &mut HttpStream,
        _: EndOfStream,
    ) -> Result<Action, Error> {
        callbacks::on_response_headers(path, http)
    }
}
