//! Decodes the head of a request.

use std::net::Ipv6Addr;

use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::HeaderValue;
use tidegate_semantics::fields::{Fields, Name, Pseudo};
use tidegate_semantics::vocabulary::FieldMap;

use super::lines::{HeadScanner, Lines, is_blank, skip_line_ends, trim};
use super::{Framing, HeadError, MAX_FIELDS, MAX_LINES, framing};

/// The methods that Envoy knows. It rejects all others.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// The head of a request, as it was received.
#[derive(Debug)]
pub(in crate::proxy) struct RequestHead {
    /// The pseudo-headers and all fields except `host`. Repeated values of inline headers are joined.
    pub(in crate::proxy) fields: Fields,
    /// How the body ends.
    pub(in crate::proxy) framing: Framing,
    /// The version. `HTTP_09` stands for all versions other than 1.0 and 1.1, and for a missing one.
    pub(in crate::proxy) version: Version,
    /// Whether the target is a URI.
    pub(in crate::proxy) has_absolute_target: bool,
    /// Whether a field occurs that concerns only this connection.
    pub(in crate::proxy) has_connection_fields: bool,
}

/// Decodes a request head, and removes it from the buffer. Returns `None` if it is not complete yet.
pub(in crate::proxy) fn decode(
    input: &mut BytesMut,
    scanner: &mut HeadScanner,
) -> Result<Option<RequestHead>, HeadError> {
    skip_line_ends_before(input, scanner);
    match input.first() {
        None => return Ok(None),
        // What is not HTTP, such as the start of a TLS connection, is rejected before a line end arrives.
        Some(first) if !first.is_ascii_uppercase() => {
            return Err(HeadError::Malformed("the method is invalid"));
        }
        Some(_) => {}
    }
    match scanner.take_head(input)? {
        Some(head) => parse(head).map(Some),
        None => Ok(None),
    }
}

/// Skips line ends, unless a part of the head has been scanned already.
fn skip_line_ends_before(input: &mut BytesMut, scanner: &HeadScanner) {
    if scanner.is_at_start() {
        skip_line_ends(input);
    }
}

fn parse(head: Bytes) -> Result<RequestHead, HeadError> {
    let mut lines = Lines::new(head);
    let line = lines.start_line();
    let RequestLine {
        method,
        target,
        version,
    } = request_line(&line)?;
    let mut fields = Fields::with_capacity(24);
    // A placeholder, so that the authority comes first.
    fields.set_pseudo(Pseudo::Authority, HeaderValue::from_static(""));
    if let Some(path) = target.path {
        fields.set_pseudo(Pseudo::Path, path);
    }
    fields.set_pseudo(Pseudo::Method, method_value(method, &line)?);
    fields.set_pseudo(Pseudo::Scheme, HeaderValue::from_static(target.scheme));

    let max_len = fields.len() + MAX_FIELDS;
    let mut count = 0;
    let mut received = framing::Received::default();
    let mut host: Option<HeaderValue> = None;
    let mut has_connection_fields = false;
    let mut seen = framing::SeenNames::default();
    loop {
        let next = lines.next_field(|name, field| {
            let Name::Header(header) = name.name() else {
                return;
            };
            match header.as_str() {
                "host" => {
                    host = Some(match host.take() {
                        Some(first) => join(first, field.value),
                        None => field.value,
                    });
                    return;
                }
                "content-length" => received.length(&field),
                "transfer-encoding" => {
                    has_connection_fields = true;
                    received.coding(&field);
                }
                "connection" | "upgrade" | "te" | "expect" | "keep-alive" | "proxy-connection" => {
                    has_connection_fields = true;
                }
                _ => {}
            }
            seen.append(&mut fields, name, FieldMap::RequestHeaders, field.value);
        })?;
        if next.is_none() {
            break;
        }
        count += 1;
        // As in Envoy, values that are joined are one field.
        if count > MAX_LINES || fields.len() + usize::from(host.is_some()) > max_len {
            return Err(HeadError::TooManyFields);
        }
    }
    let has_absolute_target = target.authority.is_some();
    match target.authority.or(host) {
        Some(authority) => fields.set_pseudo(Pseudo::Authority, authority),
        None => fields.remove(Pseudo::Authority.as_str()),
    }
    let is_connect = method == b"CONNECT";
    let framing = received.of_request(is_connect)?;
    if is_connect {
        fields.remove("content-length");
    }
    Ok(RequestHead {
        fields,
        framing,
        version,
        has_absolute_target,
        has_connection_fields,
    })
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: Target,
    version: Version,
}

/// The target of a request (RFC 9112, section 3.2).
struct Target {
    /// The path with the query, or `*`. `CONNECT` has none.
    path: Option<HeaderValue>,
    scheme: &'static str,
    /// The authority, if the target contains one.
    authority: Option<HeaderValue>,
}

/// Splits the request line. As in Envoy, any number of spaces, tabs and carriage returns separates its parts.
fn request_line(line: &Bytes) -> Result<RequestLine<'_>, HeadError> {
    let blank = |bytes: &[u8]| bytes.iter().position(is_blank).unwrap_or(bytes.len());
    let skip = |bytes: &[u8]| bytes.iter().take_while(|byte| is_blank(byte)).count();

    let (method, rest) = line.split_at(blank(line));
    if !METHODS.iter().any(|known| known.as_bytes() == method) {
        return Err(HeadError::Malformed("the method is unknown"));
    }
    let rest = rest.get(skip(rest)..).unwrap_or_default();
    let (target, rest) = rest.split_at(blank(rest));
    let version = trim(rest);
    let target = parse_target(method, line, target)?;
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        b"" => Version::HTTP_09,
        other if super::response::is_version(other) => Version::HTTP_09,
        _ => return Err(HeadError::Malformed("the HTTP version is invalid")),
    };
    Ok(RequestLine {
        method,
        target,
        version,
    })
}

/// Interprets the target. `line` contains it, and shares its memory.
fn parse_target(method: &[u8], line: &Bytes, target: &[u8]) -> Result<Target, HeadError> {
    const INVALID: HeadError = HeadError::Malformed("the request target is invalid");
    if !target.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
        return Err(INVALID);
    }
    let value =
        |part: &[u8]| HeaderValue::from_maybe_shared(line.slice_ref(part)).map_err(|_| INVALID);
    if method == b"CONNECT" {
        if !matches!(split_port(target), Some((host, Some(_))) if is_host(host)) {
            return Err(INVALID);
        }
        return Ok(Target {
            path: None,
            scheme: "http",
            authority: Some(value(target)?),
        });
    }
    if target.starts_with(b"/") || (target.starts_with(b"*") && method == b"OPTIONS") {
        return Ok(Target {
            path: Some(value(target)?),
            scheme: "http",
            authority: None,
        });
    }
    let (scheme, rest) = ["http", "https"]
        .into_iter()
        .find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            let rest = rest.strip_prefix(b"://")?;
            start
                .eq_ignore_ascii_case(scheme.as_bytes())
                .then_some((scheme, rest))
        })
        .ok_or(INVALID)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // User and password are not part of the `host` field (RFC 9110, section 4.2.4).
    let host = match authority.iter().position(|byte| *byte == b'@') {
        Some(at) => {
            let (user, host) = authority.split_at(at);
            if !user.iter().all(is_userinfo) {
                return Err(INVALID);
            }
            host.get(1..).unwrap_or_default()
        }
        None => authority,
    };
    if !split_port(host).is_some_and(|(host, _)| is_host(host)) {
        return Err(INVALID);
    }
    Ok(Target {
        path: Some(match path {
            [] => HeaderValue::from_static("/"),
            path => value(path)?,
        }),
        scheme,
        authority: Some(value(host)?),
    })
}

/// Splits an authority at its port, if it has one. Returns `None` if the port is invalid.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let is_colon = |byte: &u8| *byte == b':';
    // Colons in brackets are part of an IPv6 address.
    let end = authority
        .iter()
        .rposition(|byte| *byte == b']')
        .unwrap_or(0);
    let colon = authority.get(end..)?.iter().position(is_colon);
    let Some(colon) = colon else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(end + colon);
    let port = framing::length(port.get(1..)?)?;
    Some((host, Some(u16::try_from(port).ok()?)))
}

/// Returns whether the host in a target is one that Envoy accepts there: an IPv6 address in brackets, or letters, digits,
/// hyphens and points.
fn is_host(host: &[u8]) -> bool {
    let address = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    if let Some(address) = address {
        return std::str::from_utf8(address).is_ok_and(|it| it.parse::<Ipv6Addr>().is_ok());
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !host.is_empty() && host.iter().all(is_allowed)
}

/// Returns whether a byte may occur in the user and password of a target.
fn is_userinfo(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=_~".contains(byte)
}

/// Returns whether all bytes may occur in an authority. Like Envoy, it does not check the structure.
pub(in crate::proxy) fn is_authority(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=@[]_~".contains(byte))
}

fn method_value(method: &[u8], line: &Bytes) -> Result<HeaderValue, HeadError> {
    match method {
        b"GET" => Ok(HeaderValue::from_static("GET")),
        b"POST" => Ok(HeaderValue::from_static("POST")),
        _ => HeaderValue::from_maybe_shared(line.slice_ref(method))
            .map_err(|_| HeadError::Malformed("the method is invalid")),
    }
}

/// Joins two values of `host` with a comma, as Envoy does. Empty values are skipped.
fn join(first: HeaderValue, second: HeaderValue) -> HeaderValue {
    if first.is_empty() {
        return second;
    }
    if second.is_empty() {
        return first;
    }
    let joined = [first.as_bytes(), b",", second.as_bytes()].concat();
    // Two valid values with a comma between them are a valid value.
    HeaderValue::from_maybe_shared(Bytes::from(joined)).unwrap_or(first)
}
