//! Local responses: those of plugins, and those of the proxy for failures.
//!
//! The fields of a local response are those that Envoy sends, for HTTP and for gRPC.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::fields::{Fields, Name, Pseudo, status_value};
use crate::observe::Origin;
use crate::vocabulary::FieldMap;

/// A response that a plugin or the proxy generates.
#[derive(Clone, Debug)]
pub struct LocalResponse {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    pub grpc_status: Option<u32>,
    pub origin: Origin,
}

/// The properties of a request on which a local response depends.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestKind {
    is_head: bool,
    is_grpc: bool,
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_CONTENT_TYPE: &str = "application/grpc";

impl LocalResponse {
    /// Creates a response of the proxy without additional headers.
    pub fn from_proxy(status: StatusCode, body: Bytes) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            grpc_status: None,
            origin: Origin::Proxy,
        }
    }

    /// Creates the response for a stream whose plugin instance has died: 503 without a body, or `UNAVAILABLE` for gRPC.
    pub fn failure(plugin: usize) -> Self {
        Self {
            grpc_status: Some(14),
            origin: Origin::Failed(plugin),
            ..Self::from_proxy(StatusCode::SERVICE_UNAVAILABLE, Bytes::new())
        }
    }

    /// Converts the response to fields and a body, for the given kind of request.
    pub fn into_message(self, request: RequestKind) -> (Fields, Bytes) {
        let RequestKind { is_head, is_grpc } = request;
        let mut fields = Fields::with_capacity(self.headers.len() + 4);
        fields.set_pseudo(Pseudo::Status, status_value(self.status));
        for (name, value) in self.headers {
            let name = Name::from(name);
            let joins = name.is_inline(FieldMap::ResponseHeaders);
            fields.append_or_join(&name, joins, value);
        }
        fields.remove(CONTENT_LENGTH.as_str());
        if is_grpc {
            let status = self
                .grpc_status
                .unwrap_or_else(|| grpc_status_of(self.status));
            fields.set_pseudo(Pseudo::Status, status_value(StatusCode::OK));
            fields.set(
                CONTENT_TYPE.into(),
                HeaderValue::from_static(GRPC_CONTENT_TYPE),
            );
            if fields.get(GRPC_STATUS.as_str()).is_none() {
                fields.append(GRPC_STATUS.into(), HeaderValue::from(status));
            }
            if !self.body.is_empty()
                && !is_head
                && let Ok(message) = HeaderValue::from_maybe_shared(encode_grpc_message(&self.body))
            {
                fields.set(GRPC_MESSAGE.into(), message);
            }
            return (fields, Bytes::new());
        }
        if self.body.is_empty() {
            fields.remove(CONTENT_TYPE.as_str());
        } else {
            fields.append(CONTENT_LENGTH.into(), HeaderValue::from(self.body.len()));
            if fields.get(CONTENT_TYPE.as_str()).is_none() {
                fields.append(CONTENT_TYPE.into(), HeaderValue::from_static("text/plain"));
            }
        }
        (fields, if is_head { Bytes::new() } else { self.body })
    }
}

impl RequestKind {
    /// Returns the kind of a request, according to its headers as received.
    pub fn from_headers(request: &Fields) -> Self {
        let grpc = |value: &HeaderValue| {
            let rest = value.as_bytes().strip_prefix(GRPC_CONTENT_TYPE.as_bytes());
            rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'+'))
        };
        Self {
            is_head: request
                .pseudo(Pseudo::Method)
                .is_some_and(|it| it == "HEAD"),
            is_grpc: request.get(CONTENT_TYPE.as_str()).is_some_and(grpc),
        }
    }

    /// Returns whether the request is a gRPC request.
    pub fn is_grpc(self) -> bool {
        self.is_grpc
    }
}

/// Returns the gRPC status that corresponds to an HTTP status.
fn grpc_status_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Encodes a `grpc-message`. All bytes except printable ASCII are percent-encoded, and so is the percent sign.
fn encode_grpc_message(message: &[u8]) -> Bytes {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(message.len());
    for &byte in message {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(byte);
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            encoded.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::tests::fields;

    fn list(fields: &Fields) -> Vec<(&str, &[u8])> {
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }

    #[test]
    fn body_sets_content_length_and_content_type() {
        let mut response =
            LocalResponse::from_proxy(StatusCode::FORBIDDEN, Bytes::from_static(b"no"));
        let twice = HeaderName::from_static("x-twice");
        response
            .headers
            .push((CONTENT_LENGTH, HeaderValue::from_static("77")));
        response
            .headers
            .push((twice.clone(), HeaderValue::from_static("a")));
        response
            .headers
            .push((twice, HeaderValue::from_static("b")));
        let (fields, body) = response.into_message(RequestKind::default());
        assert_eq!(
            list(&fields),
            [
                (":status", &b"403"[..]),
                ("x-twice", b"a"),
                ("x-twice", b"b"),
                ("content-length", b"2"),
                ("content-type", b"text/plain")
            ]
        );
        assert_eq!(body, "no");
    }

    #[test]
    fn custom_content_type_is_kept_only_with_a_body() {
        let mut response = LocalResponse::from_proxy(StatusCode::OK, Bytes::from_static(b"{}"));
        response
            .headers
            .push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        let (fields, _) = response.clone().into_message(RequestKind::default());
        assert_eq!(fields.get("content-type").unwrap(), "application/json");
        response.body = Bytes::new();
        let (fields, _) = response.into_message(RequestKind::default());
        assert_eq!(list(&fields), [(":status", &b"200"[..])]);
    }

    #[test]
    fn head_response_keeps_content_length_without_a_body() {
        let response = LocalResponse::from_proxy(StatusCode::OK, Bytes::from_static(b"four"));
        let (fields, body) =
            response.into_message(RequestKind::from_headers(&fields(&[(":method", "HEAD")])));
        assert_eq!(fields.get("content-length").unwrap(), "4");
        assert!(body.is_empty());
    }

    #[test]
    fn grpc_request_gets_a_trailers_only_response() {
        let request = fields(&[
            (":method", "POST"),
            ("content-type", "application/grpc+proto"),
        ]);
        let response =
            LocalResponse::from_proxy(StatusCode::FORBIDDEN, Bytes::from("100% n\u{f6}"));
        let (fields, body) = response.into_message(RequestKind::from_headers(&request));
        assert_eq!(
            list(&fields),
            [
                (":status", &b"200"[..]),
                ("content-type", b"application/grpc"),
                ("grpc-status", b"7"),
                ("grpc-message", b"100%25 n%C3%B6")
            ]
        );
        assert!(body.is_empty());
        let (fields, _) =
            LocalResponse::failure(0).into_message(RequestKind::from_headers(&request));
        assert_eq!(fields.get("grpc-status").unwrap(), "14");
    }
}
