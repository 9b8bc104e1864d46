//! HTTP calls: requests that a plugin sends to other services. Wraps the contract's `http-calls` interface.
//!
//! Envoy calls them HTTP callouts. A service is named by its cluster, which is part of the proxy's configuration. In Istio, the
//! name of a cluster is for example `outbound|8080||auth.default.svc.cluster.local`. Several calls can be in progress at
//! the same time. A call cannot be cancelled, except by its timeout.
//!
//! A call returns at once, and its [`Outcome`] is passed to a callback:
//!
//! * [`HttpStream::call`](crate::HttpStream::call) sends a request for a stream. The outcome is passed to
//!   [`on_http_call_response`](crate::Plugin::on_http_call_response), and dropped if the stream has ended by then.
//! * [`send`] sends a request for the plugin, and the outcome is passed to
//!   [`on_plugin_http_call_response`](crate::Plugin::on_plugin_http_call_response). See [`timers`](crate::timers) for an
//!   example.
//!
//! An outcome is a response also if the proxy made it: with status 503 if it could not connect to the service, and with
//! status 504 if the response did not begin within the timeout. Test for the statuses that are expected, and treat all
//! others as failures.
//!
//! This plugin lets an authorization service decide about each request. The service receives the request's method, path
//! and headers. If it answers with status 200, its `x-user` is passed to the upstream. Otherwise, the client receives the
//! answer of the service.
//!
//! ```
//! use std::time::Duration;
//!
//! use tidegate_guest::http_calls::{Request, Response};
//! use tidegate_guest::prelude::*;
//!
//! struct Authorization;
//!
//! #[plugin]
//! impl Plugin for Authorization {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Authorization)
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         let method = http.method()?.unwrap_or_default();
//!         let path = http.path()?.unwrap_or_default();
//!         let request = Request::new(&method, "auth.internal", &path).headers_from(http.request_headers())?;
//!         http.call("auth", request, Duration::from_millis(500))?;
//!         Ok(Action::Pause)
//!     }
//!
//!     fn on_http_call_response(
//!         &self,
//!         _: &mut (),
//!         http: &mut HttpStream,
//!         _: CallId,
//!         outcome: Outcome,
//!     ) -> Result<(), Error> {
//!         match outcome {
//!             Outcome::Response(response) if response.status() == Some(200) => pass(http, &response),
//!             Outcome::Response(response) => {
//!                 let mut denial = LocalResponse::new(response.status().unwrap_or(503));
//!                 for (name, value) in response.headers() {
//!                     if matches!(name, "content-type" | "location" | "set-cookie" | "www-authenticate") {
//!                         denial = denial.header(name, value);
//!                     }
//!                 }
//!                 http.send_response(denial.body(response.into_body()))
//!             }
//!             Outcome::Reset => http.send_response(LocalResponse::new(503)),
//!         }
//!     }
//! }
//!
//! /// Continues with a request that the authorization service allows.
//! fn pass(http: &HttpStream, response: &Response) -> Result<(), Error> {
//!     match response.header("x-user") {
//!         Some(user) => http.request_headers().set("x-user", user)?,
//!         // The client must not choose it.
//!         None => http.request_headers().remove("x-user")?,
//!     }
//!     http.resume(Direction::Request)
//! }
//! ```
//!
//! If anything fails here, the request [ends with status 503](crate#errors).

use std::{fmt, time::Duration};

use crate::{
    Error, Fields,
    bindings::{http_call_types, http_calls},
    duration::milliseconds,
};

/// Headers that the proxy sets itself, so that a request must not contain them.
const SET_BY_PROXY: [&str; 5] = [
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
];

/// Identifies a call. It can be stored to tell apart calls that are in progress.
///
/// The number is unique in the instance only until the outcome has been received. It is then used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(http_call_types::CallId);

/// A request to another service.
///
/// ```
/// use tidegate_guest::http_calls::Request;
///
/// let request = Request::new("POST", "tokens.internal", "/check")
///     .header("content-type", "application/json")
///     .body(r#"{"token": "secret"}"#);
/// ```
///
/// Nothing is checked before the request is sent. See [`send`] for what is rejected then.
#[derive(Clone, Debug)]
pub struct Request(http_call_types::Request);

/// A response of another service, or one that the proxy made in its place.
#[derive(Clone, Debug)]
pub struct Response(http_call_types::Response);

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A complete response, from the service or from the proxy: status 503 if the proxy could not connect, and 504 if the
    /// response did not begin within the timeout.
    Response(Response),
    /// The response began, but did not end: the service aborted it, the timeout was reached, or it is too large for the
    /// proxy.
    Reset,
}

/// Sends a request for the plugin. The outcome is passed to
/// [`on_plugin_http_call_response`](crate::Plugin::on_plugin_http_call_response).
///
/// `cluster` is the name of a cluster in the proxy's configuration. The timeout is the time from now until the end of the
/// response. It is rounded up to whole milliseconds, and is at least one.
///
/// The errors are:
///
/// * [`Error::NotFound`]: there is no such cluster.
/// * [`Error::InvalidArgument`]: the method, the authority or the path is empty, or the path is not valid; a header or
///   trailer is not valid, or is one that the proxy sets itself (`connection`, `content-length`, `host`,
///   `transfer-encoding`, `upgrade`); the timeout is longer than 2147483647 milliseconds, about 24 days.
/// * [`Error::TooLarge`]: there are too many headers or trailers, or they are too long.
/// * [`Error::NotAvailable`]: the function that is running is [`configure`](crate::Plugin::configure) or a destructor. To
///   call a service at the start, set a [timer](crate::timers), and call in [`on_tick`](crate::Plugin::on_tick).
/// * [`Error::Internal`]: the cluster has no healthy host, or the deployment does not allow calls.
pub fn send(cluster: &str, request: Request, timeout: Duration) -> Result<CallId, Error> {
    let timeout = milliseconds(timeout)?;
    http_calls::send_for_plugin(cluster, &request.into_inner(), timeout).map(CallId)
}

// === impl CallId ===

impl CallId {
    pub(crate) fn new(id: http_call_types::CallId) -> Self {
        CallId(id)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

// === impl Request ===

impl Request {
    /// Creates a request without additional headers and with an empty body.
    ///
    /// `authority` is the value that HTTP/1.1 services receive as `host`. `path` begins with `/` and includes the query.
    pub fn new(method: &str, authority: &str, path: &str) -> Self {
        let pseudo_headers = [
            (":method", method),
            (":path", path),
            (":authority", authority),
        ];
        let headers =
            pseudo_headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Request(http_call_types::Request {
            headers: Vec::from(headers),
            body: Vec::new(),
            trailers: Vec::new(),
        })
    }

    /// Creates a GET request.
    pub fn get(authority: &str, path: &str) -> Self {
        Request::new("GET", authority, path)
    }

    /// Adds a header. Headers with the same name are all kept.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Copies headers, for example those of the client's request that a service is asked about.
    ///
    /// These are left out:
    ///
    /// * Pseudo-headers. Method, authority and path are those with which the request was created.
    /// * Headers that the proxy sets itself: `connection`, `content-length`, `host`, `transfer-encoding` and `upgrade`.
    /// * Headers that this request already has. Add headers that the client must not be able to add to, such as
    ///   credentials of the plugin, before copying.
    ///
    /// The errors are those of [`Fields::entries`].
    pub fn headers_from(mut self, fields: Fields<'_>) -> Result<Self, Error> {
        self.copy(fields.entries()?);
        Ok(self)
    }

    /// Sets the body. The proxy adds `content-length`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Adds a trailer. HTTP/1.1 services do not receive trailers.
    pub fn trailer(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.trailers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn into_inner(self) -> http_call_types::Request {
        self.0
    }

    /// Adds the headers that may be copied. The names are lowercase.
    fn copy(&mut self, entries: Vec<(String, Vec<u8>)>) {
        let headers = &mut self.0.headers;
        // A header with several values is copied whole, so the copied ones are not among those that are compared.
        let existing = headers.len();
        for (name, value) in entries {
            let mut existing = headers.iter().take(existing);
            let is_excluded = name.starts_with(':')
                || is_set_by_proxy(&name)
                || existing.any(|(other, _)| other.eq_ignore_ascii_case(&name));
            if !is_excluded {
                headers.push((name, value));
            }
        }
    }
}

// === impl Response ===

impl Response {
    /// Returns the status code.
    ///
    /// Every proxy sets one. `None` would mean that `:status` is not a number.
    pub fn status(&self) -> Option<u16> {
        self.header_str(":status")?.parse().ok()
    }

    /// Returns the first value of a header. The name is compared case-insensitively.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// Returns the first value of a header as a string. Returns `None` if the header is absent or not valid UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header(name)?).ok()
    }

    /// Returns all headers, in order, including `:status`. Names are lowercase.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        pairs(&self.0.headers)
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// Returns the body without copying it.
    pub fn into_body(self) -> Vec<u8> {
        self.0.body
    }

    /// Returns all trailers, in order. Names are lowercase.
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        pairs(&self.0.trailers)
    }
}

/// Returns whether a request must not contain a header. The name is lowercase.
pub(crate) fn is_set_by_proxy(name: &str) -> bool {
    SET_BY_PROXY.contains(&name)
}

fn pairs(fields: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn new(outcome: http_call_types::Outcome) -> Self {
        match outcome {
            http_call_types::Outcome::Response(response) => Outcome::Response(Response(response)),
            http_call_types::Outcome::Reset => Outcome::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let fields = fields.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    fn response(headers: &[(&str, &str)]) -> Response {
        Response(http_call_types::Response {
            headers: fields(headers),
            body: b"hello".to_vec(),
            trailers: fields(&[("x-sum", "7")]),
        })
    }

    #[test]
    fn request_has_pseudo_headers_first() {
        let request = Request::new("POST", "auth.internal", "/check?a=b")
            .header("x-one", "1")
            .header("x-one", b"\xff".to_vec())
            .body("hello")
            .trailer("x-sum", "7")
            .into_inner();
        let mut headers = fields(&[
            (":method", "POST"),
            (":path", "/check?a=b"),
            (":authority", "auth.internal"),
            ("x-one", "1"),
        ]);
        headers.push(("x-one".to_owned(), vec![0xff]));
        assert_eq!(request.headers, headers);
        assert_eq!(request.body, b"hello");
        assert_eq!(request.trailers, fields(&[("x-sum", "7")]));
        let request = Request::get("auth.internal", "/").into_inner();
        assert_eq!(request.headers[0].1, b"GET");
        assert!(request.body.is_empty() && request.trailers.is_empty());
    }

    #[test]
    fn headers_that_calls_reject_are_not_copied() {
        let mut request = Request::get("auth.internal", "/").header("X-Secret", "of the plugin");
        request.copy(fields(&[
            (":authority", "client.example"),
            (":path", "/client"),
            (":scheme", "https"),
            ("host", "client.example"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("x-secret", "of the client"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("authorization", "Bearer x"),
        ]));
        let expected = fields(&[
            (":method", "GET"),
            (":path", "/"),
            (":authority", "auth.internal"),
            ("X-Secret", "of the plugin"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("authorization", "Bearer x"),
        ]);
        assert_eq!(request.into_inner().headers, expected);
    }

    #[test]
    fn response_is_read_by_name() {
        let response = response(&[(":status", "204"), ("x-user", "ada"), ("x-user", "other")]);
        assert_eq!(response.status(), Some(204));
        assert_eq!(response.header("X-User"), Some(&b"ada"[..]));
        assert_eq!(response.header_str("x-user"), Some("ada"));
        assert_eq!(response.header("x-absent"), None);
        let names: Vec<&str> = response.headers().map(|(name, _)| name).collect();
        assert_eq!(names, [":status", "x-user", "x-user"]);
        let trailers: Vec<_> = response.trailers().collect();
        assert_eq!(trailers, [("x-sum", &b"7"[..])]);
        assert_eq!(response.body(), b"hello");
    }

    #[test]
    fn response_without_a_valid_status_has_none() {
        assert_eq!(response(&[]).status(), None);
        for status in ["", "ok", "65536"] {
            assert_eq!(response(&[(":status", status)]).status(), None, "{status}");
        }
    }

    #[test]
    fn body_is_moved_from_the_outcome() {
        let Response(inner) = response(&[(":status", "200")]);
        let address = inner.body.as_ptr();
        let Outcome::Response(response) = Outcome::new(http_call_types::Outcome::Response(inner))
        else {
            panic!("a response remains one");
        };
        let body = response.into_body();
        assert_eq!(body.as_ptr(), address);
        let reset = Outcome::new(http_call_types::Outcome::Reset);
        assert!(matches!(reset, Outcome::Reset));
    }

    #[test]
    fn call_ids_are_shown_as_numbers() {
        assert_eq!(CallId::new(7).to_string(), "7");
    }
}
