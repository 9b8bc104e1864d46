//! The callbacks of both plugins.

use std::time::Duration;

use tidegate_guest::Error;
use tidegate_guest::http_calls::Request;
use tidegate_guest::prelude::*;

/// What the plugin keeps of a stream: the path of its request. It has no default value, so only `on_stream` can create it.
pub struct Path(String);

impl Path {
    pub fn of(http: &HttpStream) -> Self {
        Path(http.path().ok().flatten().unwrap_or_default())
    }
}

/// Fails for `/request`, calls a service for `/call`, and ends the callback with a response for `/respond`.
pub fn on_request_headers(path: &Path, http: &HttpStream) -> Result<Action, Error> {
    match path.0.as_str() {
        "/request" => not_available(http),
        "/call" => {
            let request = Request::get("service", "/");
            http.call("service", request, Duration::from_secs(5))?;
            Ok(Action::Pause)
        }
        "/respond" => http.respond(LocalResponse::new(418)),
        _ => Ok(Action::Continue),
    }
}

/// Fails for `/call`.
pub fn on_http_call_response(path: &Path, http: &HttpStream) -> Result<(), Error> {
    not_available(http).map(drop)?;
    // It is not reached: the only call fails above.
    http.request_headers().set("x-path", &path.0)
}

/// Fails for `/response`.
pub fn on_response_headers(path: &Path, http: &HttpStream) -> Result<Action, Error> {
    if path.0 == "/response" {
        return not_available(http);
    }
    http.response_headers().set("x-path", &path.0)?;
    Ok(Action::Continue)
}

/// Makes a hostcall that fails: there are no trailers in these callbacks.
fn not_available(http: &HttpStream) -> Result<Action, Error> {
    http.request_trailers().get("x-any")?;
    Ok(Action::Continue)
}
