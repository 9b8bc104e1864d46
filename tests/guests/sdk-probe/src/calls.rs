//! HTTP calls and timers for the probe's operations, implemented with the SDK.
//!
//! The functions in this file replace those that wit-bindgen generates, and have the same parameters. The SDK rounds a
//! timeout of 0 up, and adds `:method`, `:path` and `:authority` to a request that lacks them, so this probe does not
//! run scenarios about the errors of these functions.

use tidegate_guest::__private::bindings::http_call_types as contract;
use tidegate_guest::http_calls as sdk;

/// The contract's types, with the SDK's IDs.
pub mod http_call_types {
    pub use tidegate_guest::__private::bindings::http_call_types::{Outcome, Request};
    pub use tidegate_guest::http_calls::CallId;
}

/// Functions that send calls.
pub mod http_calls {
    use std::rc::Rc;
    use std::time::Duration;

    use tidegate_guest::__private::bindings::http_streams::HttpStream;
    use tidegate_guest::{Error, http_calls};

    use super::http_call_types::{CallId, Request};

    pub fn send_for_stream(
        http: &Rc<HttpStream>,
        cluster: &str,
        request: &Request,
        timeout_ms: u32,
    ) -> Result<CallId, Error> {
        let http = tidegate_guest::__private::stream(Rc::clone(http));
        let timeout = Duration::from_millis(timeout_ms.into());
        http.call(cluster, super::request(request), timeout)
    }

    pub fn send_for_plugin(
        cluster: &str,
        request: &Request,
        timeout_ms: u32,
    ) -> Result<CallId, Error> {
        let timeout = Duration::from_millis(timeout_ms.into());
        http_calls::send(cluster, super::request(request), timeout)
    }
}

/// Functions that set the timer.
pub mod timers {
    use std::time::Duration;

    use tidegate_guest::{Error, timers};

    pub fn set_period(milliseconds: u32) -> Result<(), Error> {
        match milliseconds {
            0 => timers::stop(),
            _ => timers::every(Duration::from_millis(milliseconds.into())),
        }
    }
}

/// Converts a request to the SDK's type.
fn request(request: &contract::Request) -> sdk::Request {
    let value = |name: &str| {
        let found = request.headers.iter().find(|(it, _)| it == name);
        found.map_or_else(String::new, |(_, value)| {
            String::from_utf8_lossy(value).into_owned()
        })
    };
    let (method, authority, path) = (value(":method"), value(":authority"), value(":path"));
    let mut made = match method.as_str() {
        "GET" => sdk::Request::get(&authority, &path),
        _ => sdk::Request::new(&method, &authority, &path),
    };
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), ":method" | ":authority" | ":path") {
            made = made.header(name, value.clone());
        }
    }
    for (name, value) in &request.trailers {
        made = made.trailer(name, value.clone());
    }
    made.body(request.body.clone())
}

/// Converts an outcome to the contract's type.
pub fn outcome(outcome: sdk::Outcome) -> contract::Outcome {
    let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
    match outcome {
        sdk::Outcome::Response(response) => contract::Outcome::Response(contract::Response {
            headers: response.headers().map(owned).collect(),
            trailers: response.trailers().map(owned).collect(),
            body: response.into_body(),
        }),
        sdk::Outcome::Reset => contract::Outcome::Reset,
    }
}
