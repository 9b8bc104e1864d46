//! Message heads in both directions: hop-by-hop fields are removed, and framing fields are made consistent with the
//! body.
//!
//! The rules are those of Envoy. A request loses its hop-by-hop fields, including those named in `connection`, before
//! plugins see it. A response loses `keep-alive` before plugins see it, and the other hop-by-hop fields afterwards; it
//! keeps fields named in `connection`.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tidegate_semantics::fields::{Fields, FieldsError, Name, Pseudo};

use crate::proxy::respond::Failure;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: &str = "http2-settings";
const HOP_BY_HOP: [HeaderName; 5] = [
    CONNECTION,
    KEEP_ALIVE,
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

const BODILESS_METHODS: [Method; 5] = [
    Method::GET,
    Method::HEAD,
    Method::DELETE,
    Method::TRACE,
    Method::CONNECT,
];

/// A request that is rejected before any plugin sees it.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) failure: Failure,
    /// The headers that log callbacks see.
    pub(super) fields: Fields,
}

/// Returns the headers of a request as plugins see them, and its body.
pub(super) fn request_in<B>(request: Request<B>) -> Result<(Fields, B), Box<Rejected>> {
    let scheme = match request.uri().scheme_str() {
        Some("https") => "https",
        _ => "http",
    };
    let headers = request.headers();
    let upgrade = offered_upgrade(headers);
    if let Some(failure) = rejection_reason(&request, &upgrade) {
        let (fields, _) = Fields::from_request(request, scheme);
        return Err(Box::new(Rejected { failure, fields }));
    }
    let h2c = upgrade.is_some();
    let te = headers.contains_key(TE);
    let trailers = te && has_token(headers, &TE, "trailers");
    // hyper has seen this field, and sends the interim response as soon as the body is polled.
    let expect = headers.contains_key(EXPECT);
    let (mut fields, body) = Fields::from_request(request, scheme);
    strip_connection_options(&mut fields);
    strip_hop_by_hop(&mut fields);
    if h2c {
        fields.remove(HTTP2_SETTINGS);
    }
    if expect {
        fields.remove(EXPECT.as_str());
    }
    if trailers {
        fields.set(TE.into(), HeaderValue::from_static("trailers"));
    } else if te {
        fields.remove(TE.as_str());
    }
    Ok((fields, body))
}

/// Returns the reason to reject a request, if there is one.
fn rejection_reason<B>(request: &Request<B>, upgrade: &Option<Upgrade>) -> Option<Failure> {
    let headers = request.headers();
    if matches!(upgrade, Some(Upgrade::Other)) {
        return Some(Failure::Upgrade);
    }
    // RFC 9112, section 3.2: another recipient may use a different one of the values.
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Some(Failure::MultipleHosts);
    }
    let addressed = request.uri().authority().is_some() || headers.contains_key(HOST);
    (!addressed && request.version() == Version::HTTP_11).then_some(Failure::MissingHost)
}

/// Another protocol that a request offers to use on its connection.
enum Upgrade {
    /// HTTP/2. As in Envoy, the offer is ignored and the request is served as if it had not been made, because clients make
    /// it without being asked.
    H2c,
    /// Any other protocol. The client insists on it.
    Other,
}

fn offered_upgrade(headers: &HeaderMap) -> Option<Upgrade> {
    let mut offers = headers.get_all(UPGRADE).iter();
    let first = offers.next()?;
    if !has_token(headers, &CONNECTION, "upgrade") {
        return None;
    }
    let h2c = offers.next().is_none() && first.as_bytes().eq_ignore_ascii_case(b"h2c");
    Some(if h2c { Upgrade::H2c } else { Upgrade::Other })
}

/// Creates the request for upstream. Its URI is only the path.
pub(super) fn request_out(fields: Fields, end: bool) -> Result<Request<()>, Failure> {
    let method = fields.pseudo(Pseudo::Method).map(HeaderValue::as_bytes);
    let path = fields
        .pseudo(Pseudo::Path)
        .map_or(&b"/"[..], HeaderValue::as_bytes);
    // There is one route, for every target that is a path; in Envoy a match on the prefix `/` is equivalent.
    if method == Some(Method::CONNECT.as_str().as_bytes()) || !path.starts_with(b"/") {
        return Err(Failure::NoRoute);
    }
    let mut request = fields.into_request().map_err(Failure::RequestHead)?;
    fix_framing(request.headers_mut(), end, false);
    // If neither field announces a body, hyper assumes that a `GET` or `HEAD` request has none, and drops its data.
    if !end && !request.headers().contains_key(CONTENT_LENGTH) {
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // For a request without a body, Envoy sends a length of zero unless the method never has a body.
    if end && !BODILESS_METHODS.contains(request.method()) {
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(request)
}

/// Returns the headers of a response as plugins see them, and its body.
pub(super) fn response_in<B>(response: Response<B>) -> (Fields, B) {
    let keep_alive = response.headers().contains_key(KEEP_ALIVE);
    let (mut fields, body) = Fields::from_response(response);
    if keep_alive {
        fields.remove(KEEP_ALIVE.as_str());
    }
    (fields, body)
}

/// Creates the response for downstream. `is_head_request` marks the response to a `HEAD` request, whose length may
/// describe a body that is not sent.
pub(super) fn response_out(
    mut fields: Fields,
    end: bool,
    is_head_request: bool,
) -> Result<Response<()>, Failure> {
    let status = fields.status().map_err(Failure::ResponseHead)?;
    if status.is_informational() {
        let value = HeaderValue::from(status.as_u16());
        return Err(Failure::ResponseHead(FieldsError::Invalid {
            name: Pseudo::Status.as_str(),
            value,
        }));
    }
    strip_hop_by_hop(&mut fields);
    let mut response = fields.into_response().map_err(Failure::ResponseHead)?;
    fix_framing(
        response.headers_mut(),
        end,
        is_head_request || status == StatusCode::NOT_MODIFIED,
    );
    Ok(response)
}

/// Removes the fields that `connection` names.
fn strip_connection_options(fields: &mut Fields) {
    let named: Vec<Vec<u8>> = fields
        .values(CONNECTION.as_str())
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_vec())
        .collect();
    for name in named {
        // `te` is forwarded as far as possible, and a client must not remove the field that frames the message.
        let kept = [TE.as_str(), CONTENT_LENGTH.as_str()];
        if !name.starts_with(b":")
            && !kept
                .iter()
                .any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
        {
            fields.remove(name);
        }
    }
}

/// Removes the fields that describe the connection.
fn strip_hop_by_hop(fields: &mut Fields) {
    // Most messages have none of them, and then one pass is the whole cost.
    let any = fields
        .iter()
        .any(|(name, _)| matches!(name, Name::Header(name) if HOP_BY_HOP.contains(name)));
    if any {
        for name in &HOP_BY_HOP {
            fields.remove(name.as_str());
        }
    }
}

/// Makes the framing fields consistent with the body. Plugins can set any `content-length`. If it is not a length, or
/// occurs twice, hyper could not frame the message; if no body follows, the recipient would wait forever.
/// `allows_length_without_body` means that the field may describe a body that is not sent.
fn fix_framing(headers: &mut HeaderMap, end: bool, allows_length_without_body: bool) {
    headers.remove(TRANSFER_ENCODING);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let length = length(first);
    let is_consistent = lengths.next().is_none()
        && length.is_some()
        && (!end || allows_length_without_body || length == Some(0));
    if !is_consistent {
        headers.remove(CONTENT_LENGTH);
    }
}

/// Parses a length that consists of digits only: Rust would also accept `+5`, which the recipient may reject.
fn length(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Returns whether a token is among the comma-separated values of a field.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        // A token may carry parameters, as in `trailers;q=0.5`.
        .filter_map(|item| item.split(|byte| *byte == b';').next())
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Request<()> {
        build(Request::builder().uri("/a?b").header("host", "h"))
            .body(())
            .expect("a request")
    }

    fn names(fields: &Fields) -> Vec<&str> {
        let mut names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn request_hop_by_hop_headers_are_removed() {
        let request = request(|it| {
            it.header("connection", "keep-alive, X-Hop")
                .header("x-hop", "1")
                .header("keep-alive", "timeout=5")
                .header("proxy-connection", "close")
                .header("transfer-encoding", "chunked")
                .header("te", "gzip, trailers;q=0.5")
                .header("expect", "100-continue")
                .header("x-kept", "1")
        });
        let (fields, ()) = request_in(request).expect("a request that is taken");
        assert_eq!(
            names(&fields),
            [":authority", ":method", ":path", ":scheme", "te", "x-kept"]
        );
        assert_eq!(fields.get("te").expect("te"), "trailers");
    }

    #[test]
    fn request_without_host_is_rejected() {
        let request = Request::builder().uri("/").body(()).expect("a request");
        let rejected = request_in(request).expect_err("a request that is refused");
        assert!(matches!(rejected.failure, Failure::MissingHost));
    }

    #[test]
    fn request_with_two_host_headers_is_rejected() {
        let request = request(|it| it.header("host", "h"));
        let rejected = request_in(request).expect_err("a request that is refused");
        assert!(matches!(rejected.failure, Failure::MultipleHosts));
    }

    #[test]
    fn absolute_form_request_target_overrides_host() {
        let request = Request::builder()
            .uri("http://other:81/x?y")
            .header("host", "h")
            .body(())
            .expect("a request");
        let (fields, ()) = request_in(request).expect("a request that is taken");
        assert_eq!(fields.get(":authority").expect("an authority"), "other:81");
        assert_eq!(fields.get(":path").expect("a path"), "/x?y");
    }

    #[test]
    fn upgrade_request_is_rejected() {
        let upgrade = request(|it| {
            it.header("connection", "Upgrade")
                .header("upgrade", "websocket")
        });
        let rejected = request_in(upgrade).expect_err("a request that is refused");
        assert!(matches!(rejected.failure, Failure::Upgrade));
    }

    #[test]
    fn options_asterisk_and_connect_have_no_route() {
        for (method, path) in [("OPTIONS", "*"), ("CONNECT", "/")] {
            let mut fields = Fields::new();
            fields.set_pseudo(Pseudo::Method, HeaderValue::from_static(method));
            fields.set_pseudo(Pseudo::Path, HeaderValue::from_static(path));
            assert!(
                matches!(request_out(fields, true), Err(Failure::NoRoute)),
                "{method} {path}"
            );
        }
    }

    fn response(
        headers: &[(&'static str, &'static str)],
        end: bool,
        is_head_request: bool,
    ) -> Response<()> {
        let mut fields = Fields::new();
        fields.set_pseudo(Pseudo::Status, HeaderValue::from_static("200"));
        for (name, value) in headers {
            fields.append(
                HeaderName::from_static(name).into(),
                HeaderValue::from_static(value),
            );
        }
        response_out(fields, end, is_head_request).expect("a response that can be sent")
    }

    #[test]
    fn response_keeps_only_a_consistent_content_length() {
        let length = |values: &[&'static str], end, is_head_request| {
            let headers: Vec<_> = values
                .iter()
                .map(|value| ("content-length", *value))
                .collect();
            response(&headers, end, is_head_request)
                .headers()
                .get(CONTENT_LENGTH)
                .cloned()
        };
        assert_eq!(
            length(&["5"], false, false),
            Some(HeaderValue::from_static("5"))
        );
        assert_eq!(
            length(&["5"], true, true),
            Some(HeaderValue::from_static("5"))
        );
        assert_eq!(
            length(&["0"], true, false),
            Some(HeaderValue::from_static("0"))
        );
        assert_eq!(length(&["5"], true, false), None);
        assert_eq!(length(&["5", "6"], false, false), None);
        assert_eq!(length(&["five"], false, false), None);
        assert_eq!(length(&["+5"], false, false), None);
        assert_eq!(length(&[""], false, false), None);
    }

    #[test]
    fn response_hop_by_hop_headers_are_removed() {
        let response = response(
            &[
                ("connection", "close"),
                ("transfer-encoding", "chunked"),
                ("x-kept", "1"),
            ],
            false,
            false,
        );
        assert_eq!(response.headers().keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn response_requires_a_final_status() {
        let mut fields = Fields::new();
        assert!(response_out(fields.clone(), true, false).is_err());
        fields.set_pseudo(Pseudo::Status, HeaderValue::from_static("100"));
        assert!(response_out(fields, true, false).is_err());
    }
}
