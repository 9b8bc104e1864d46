//! Converts errors into HTTP responses. The HTTP calls of plugins use the same ones.
//!
//! Statuses and texts are those of Envoy, so that a plugin's response callbacks see the same values in both proxies.
//! The response to a plugin failure is determined by the stream, not here.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tidegate_semantics::fields::{Fields, FieldsError, Pseudo, status_value};
use tidegate_semantics::port::upstream_error_body;

use crate::proxy::http1::HeadError;

/// The reason why the proxy generates a response by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The head, the chunks or the trailers of the request are invalid.
    #[error("the request is invalid")]
    Request(#[source] HeadError),
    /// The version is not HTTP/1.1.
    #[error("the request's HTTP version is not 1.1")]
    Version,
    /// The request has no `host`.
    #[error("the request has no `host`")]
    MissingHost,
    /// `host` contains a character that does not occur in an authority.
    #[error("the request's `host` contains an invalid character")]
    InvalidHost,
    /// The request upgrades its connection to another protocol.
    #[error("connection upgrades are not supported")]
    Upgrade,
    /// The target of the request is not a path.
    #[error("the request's target is not a path")]
    NoRoute,
    /// The request head that the plugins left cannot be sent.
    #[error("the request cannot be sent upstream")]
    RequestHead(#[source] FieldsError),
    /// The response head that the plugins left cannot be sent.
    #[error("the response cannot be sent downstream")]
    ResponseHead(#[source] FieldsError),
    /// There is no connection to upstream.
    #[error("cannot connect to the upstream")]
    Connect,
    /// The connection to upstream took too long.
    #[error("cannot connect to the upstream in time")]
    ConnectTimeout,
    /// Too many requests to upstream are in progress.
    #[error("too many requests to the upstream are in progress")]
    Overflow,
    /// The response of upstream took too long.
    #[error("the upstream did not respond in time")]
    RouteTimeout,
    /// Nothing happened for too long, although the request was complete.
    #[error("the stream was idle for too long")]
    ResponseIdle,
    /// Nothing happened for too long, and the request was not complete.
    #[error("the client did not send the whole request in time")]
    RequestIdle,
    /// The head of the request took too long.
    #[error("the client did not send the request's head in time")]
    RequestHeadTimeout,
    /// The request took too long.
    #[error("the client did not send the request in time")]
    RequestTimeout,
    /// The connection closed before the response head arrived.
    #[error("the upstream closed the connection before it responded")]
    Disconnect,
    /// The response of upstream is not HTTP.
    #[error("the upstream's response is not valid HTTP")]
    Protocol,
}

// === impl Failure ===

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Request(error) => error.status(),
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::MissingHost | Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::Upgrade => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::ResponseHead(_) | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::RequestHead(_)
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Overflow
            | Self::Disconnect => StatusCode::SERVICE_UNAVAILABLE,
            Self::RouteTimeout | Self::ResponseIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestIdle | Self::RequestHeadTimeout | Self::RequestTimeout => {
                StatusCode::REQUEST_TIMEOUT
            }
        }
    }

    pub(super) fn body(&self) -> Bytes {
        match self {
            Self::Request(error) => {
                Bytes::from_static(error.status().canonical_reason().unwrap_or("").as_bytes())
            }
            Self::Version
            | Self::MissingHost
            | Self::InvalidHost
            | Self::Upgrade
            | Self::NoRoute => Bytes::new(),
            Self::RequestHead(error) | Self::ResponseHead(error) => Bytes::from(error.to_string()),
            Self::Connect => upstream_error_body("remote connection failure"),
            Self::ConnectTimeout => upstream_error_body("connection timeout"),
            Self::Overflow => upstream_error_body("overflow"),
            Self::RouteTimeout => Bytes::from_static(b"upstream request timeout"),
            Self::ResponseIdle | Self::RequestIdle => Bytes::from_static(b"stream timeout"),
            Self::RequestHeadTimeout => Bytes::from_static(b"request header timeout"),
            Self::RequestTimeout => Bytes::from_static(b"request timeout"),
            Self::Disconnect => upstream_error_body("connection termination"),
            Self::Protocol => upstream_error_body("protocol error"),
        }
    }

    /// Creates the response for a failure that no stream can carry. The connection has to be closed after it.
    pub(super) fn response(&self) -> (Fields, Bytes) {
        let body = self.body();
        let mut fields = Fields::new();
        fields.set_pseudo(Pseudo::Status, status_value(self.status()));
        if !body.is_empty() {
            fields.append(
                http::header::CONTENT_LENGTH.into(),
                HeaderValue::from(body.len()),
            );
            fields.append(
                http::header::CONTENT_TYPE.into(),
                HeaderValue::from_static("text/plain"),
            );
        }
        (fields, body)
    }
}
