//! Converts errors into HTTP responses. This is the only place that does so.
//!
//! Statuses and texts are those of Envoy, so that a plugin's response callbacks see the same values in both proxies.
//! The response to a plugin failure is determined by the stream, not here.

use std::error::Error;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::fields::FieldsError;

/// Why the proxy answers by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request does not say whom it is for.
    #[error("the request has no `host`")]
    NoHost,
    /// The request says more than once whom it is for.
    #[error("the request has more than one `host`")]
    ManyHosts,
    /// The request wants another protocol on its connection.
    #[error("the request asks for an upgrade of its connection, which this proxy does not do")]
    Upgrade,
    /// The request is for something that is not a path.
    #[error("the request's target is not a path")]
    NoRoute,
    /// Plugins have left the request's head so that it cannot be sent.
    #[error("the request cannot be sent upstream")]
    RequestHead(#[source] FieldsError),
    /// Plugins have left the response's head so that it cannot be sent.
    #[error("the response cannot be sent downstream")]
    ResponseHead(#[source] FieldsError),
    /// No connection to upstream.
    #[error("cannot connect upstream")]
    Connect,
    /// The connection broke before the response's head.
    #[error("upstream closed the connection before it answered")]
    Disconnect,
    /// Upstream does not speak HTTP.
    #[error("upstream's answer is not HTTP")]
    Protocol,
}

// === impl Failure ===

impl Failure {
    /// What became of a request that was sent upstream.
    pub(super) fn of_upstream(error: &hyper_util::client::legacy::Error) -> Self {
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
            Self::NoHost | Self::ManyHosts => StatusCode::BAD_REQUEST,
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
            Self::NoHost | Self::ManyHosts | Self::Upgrade | Self::NoRoute => Bytes::new(),
            Self::RequestHead(error) | Self::ResponseHead(error) => Bytes::from(error.to_string()),
            Self::Connect => before_headers("remote connection failure"),
            Self::Disconnect => before_headers("connection termination"),
            Self::Protocol => before_headers("protocol error"),
        }
    }

    /// The response as it is where no stream can carry it.
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
        // What else the client sends on this connection may belong to the protocol that it asked for.
        headers.insert(
            http::header::CONNECTION,
            http::HeaderValue::from_static("close"),
        );
        *response.body_mut() = body;
        response
    }
}

fn before_headers(reason: &str) -> Bytes {
    Bytes::from(format!(
        "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
    ))
}
