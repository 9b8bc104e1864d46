//! Decodes the head of a request.

use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::HeaderValue;
use tidegate_semantics::fields::{Fields, Name, Pseudo};
use tidegate_semantics::vocabulary::FieldMap;

use super::lines::{HeadScanner, Lines, skip_line_ends};
use super::{Framing, HeadError, MAX_FIELDS, framing};

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

    let mut received = framing::Received::default();
    let mut host: Option<HeaderValue> = None;
    let mut has_connection_fields = false;
    let mut count = 0;
    let mut seen = framing::SeenNames::default();
    loop {
        let next = lines.next_field(|name, value| {
            let Name::Header(header) = name.name() else {
                return;
            };
            match header.as_str() {
                "host" => {
                    host = Some(match host.take() {
                        Some(first) => join(first, value),
                        None => value,
                    });
                    return;
                }
                "content-length" => received.length(&value),
                "transfer-encoding" => {
                    has_connection_fields = true;
                    received.coding(&value);
                }
                "connection" | "upgrade" | "te" | "expect" | "keep-alive" | "proxy-connection" => {
                    has_connection_fields = true;
                }
                _ => {}
            }
            seen.append(&mut fields, name, FieldMap::RequestHeaders, value);
        })?;
        if next.is_none() {
            break;
        }
        count += 1;
        if count > MAX_FIELDS {
            return Err(HeadError::TooManyFields);
        }
    }
    let has_absolute_target = target.authority.is_some();
    match target.authority.or(host) {
        Some(authority) => fields.set_pseudo(Pseudo::Authority, authority),
        None => fields.remove(Pseudo::Authority.as_str()),
    }
    let framing = received.of_request(method == b"CONNECT")?;
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

/// Splits the request line. As in Envoy, any number of spaces and tabs separates its parts.
fn request_line(line: &Bytes) -> Result<RequestLine<'_>, HeadError> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let blank = |bytes: &[u8]| bytes.iter().position(is_blank).unwrap_or(bytes.len());
    let skip = |bytes: &[u8]| bytes.iter().take_while(|byte| is_blank(byte)).count();

    let (method, rest) = line.split_at(blank(line));
    if !METHODS.iter().any(|known| known.as_bytes() == method) {
        return Err(HeadError::Malformed("the method is unknown"));
    }
    let rest = rest.get(skip(rest)..).unwrap_or_default();
    let (target, rest) = rest.split_at(blank(rest));
    let version = super::lines::trim(rest);
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
        let port = target.rsplit(|byte| *byte == b':').next();
        let has_port = target.contains(&b':')
            && port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
        if !has_port || !is_authority(target) {
            return Err(INVALID);
        }
        return Ok(Target {
            path: None,
            scheme: "http",
            authority: Some(value(target)?),
        });
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
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
    let host = authority
        .rsplit(|byte| *byte == b'@')
        .next()
        .unwrap_or_default();
    if host.is_empty() {
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

/// Joins two values of `host` with a comma, as Envoy does.
fn join(first: HeaderValue, second: HeaderValue) -> HeaderValue {
    let joined = [first.as_bytes(), b",", second.as_bytes()].concat();
    // Two valid values with a comma between them are a valid value.
    HeaderValue::from_maybe_shared(Bytes::from(joined)).unwrap_or(first)
}
