//! The HTTP/1.1 codec: bytes to message heads and bodies, and back. It does no I/O.
//!
//! `lines` finds the end of a head and reads field lines, `request` and `response` decode heads, `body` decodes bodies,
//! and `encode` writes both. What is accepted, and with which status the rest is rejected, is what Envoy's codec does;
//! `tests/edge` compares them byte by byte.

pub(in crate::proxy) mod body;
mod date;
pub(in crate::proxy) mod encode;
mod framing;
mod lines;
pub(in crate::proxy) mod output;
pub(in crate::proxy) mod request;
pub(in crate::proxy) mod response;
#[cfg(test)]
mod tests;

pub(in crate::proxy) use lines::HeadScanner;

/// The maximum size of a message head, and of trailers, in bytes. It is Envoy's default, `max_request_headers_kb`.
pub(in crate::proxy) const MAX_HEAD_SIZE: usize = 60 * 1024;

/// The maximum number of fields in a message head, and in trailers. It is Envoy's default, `max_headers_count`.
pub(in crate::proxy) const MAX_FIELDS: usize = 100;

/// The maximum number of field lines in a message head. Values that are joined are one field, but each line costs time.
pub(in crate::proxy) const MAX_LINES: usize = 10 * MAX_FIELDS;

/// How the end of a received body is recognized (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// There is no body.
    None,
    /// The body has this number of bytes, at least one.
    Length(u64),
    /// The body consists of chunks, and may have trailers.
    Chunked,
    /// The body ends when the sender closes the connection. Only responses can use it.
    UntilClose,
}

/// The reason why a message head, or trailers, cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::proxy) enum HeadError {
    /// The syntax is invalid.
    #[error("{0}")]
    Malformed(&'static str),
    /// The head is larger than [`MAX_HEAD_SIZE`].
    #[error("the head is larger than 60 KiB")]
    TooLarge,
    /// The head has more than [`MAX_FIELDS`] fields.
    #[error("the head has more than 100 fields")]
    TooManyFields,
    /// `transfer-encoding` is not `chunked`.
    #[error("the transfer coding is not `chunked`")]
    UnknownCoding,
}

// === impl HeadError ===

impl HeadError {
    /// Returns the status with which Envoy rejects such a request.
    pub(in crate::proxy) fn status(self) -> http::StatusCode {
        match self {
            Self::Malformed(_) => http::StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooManyFields => {
                http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::UnknownCoding => http::StatusCode::NOT_IMPLEMENTED,
        }
    }
}
