//! Converts errors into HTTP responses. The HTTP calls of plugins use the same ones.
//!
//! Statuses and texts are those of Envoy, so that a plugin's response callbacks see the same values in both proxies.
//! The response to a plugin failure is determined by the stream, not here.

use std::error::Error;

use bytes::Bytes;
use http::{Response, StatusCode};
use tidegate_semantics::fields::FieldsError;
use tidegate_semantics::port::upstream_error_body;

/// The reason why the proxy generates a response by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request has no `host`.
    #[error("the request has no `host`")]
    MissingHost,
    /// The request has more than one `host`.
    #[error("the request has more than one `host`")]
    MultipleHosts,
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
    /// The connection closed before the response head arrived.
    #[error("the upstream closed the connection before it responded")]
    Disconnect,
    /// The response of upstream is not HTTP.
    #[error("the upstream's response is not valid HTTP")]
    Protocol,
}

// === impl Failure ===

impl Failure {
    /// Determines why a request that was sent upstream failed.
    pub(super) fn from_upstream_error(error: &hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() {
            return Self::Connect;
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            if error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse)
            {
                return Self::Protocol;
            }
            cause = error.source();
        }
        Self::Disconnect
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::MissingHost | Self::MultipleHosts => StatusCode::BAD_REQUEST,
            Self::Upgrade => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::ResponseHead(_) | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::RequestHead(_) | Self::Connect | Self::Disconnect => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    pub(super) fn body(&self) -> Bytes {
        match self {
            Self::MissingHost | Self::MultipleHosts | Self::Upgrade | Self::NoRoute => Bytes::new(),
            Self::RequestHead(error) | Self::ResponseHead(error) => Bytes::from(error.to_string()),
            Self::Connect => upstream_error_body("remote connection failure"),
            Self::Disconnect => upstream_error_body("connection termination"),
            Self::Protocol => upstream_error_body("protocol error"),
        }
    }

    /// Creates the response for a failure that no stream can carry.
    pub(super) fn response(&self) -> Response<Bytes> {
        let body = self.body();
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if !body.is_empty() {
            headers.insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("text/plain"),
            );
        }
        // Further input on this connection may belong to the protocol that the client asked for.
        headers.insert(
            http::header::CONNECTION,
            http::HeaderValue::from_static("close"),
        );
        *response.body_mut() = body;
        response
    }
}
