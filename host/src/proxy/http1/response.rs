//! Decodes the head of a response.

use bytes::{Bytes, BytesMut};
use http::header::HeaderValue;
use http::{StatusCode, Version};
use tidegate_semantics::fields::{Fields, Name, Pseudo, status_value};
use tidegate_semantics::vocabulary::FieldMap;

use super::lines::{HeadScanner, Lines, is_blank, trim};
use super::{Framing, HeadError, MAX_FIELDS, MAX_LINES, framing};

/// The head of a response, as it was received.
#[derive(Debug)]
pub(in crate::proxy) struct ResponseHead {
    /// `:status` and all fields. Repeated values of inline headers are joined.
    pub(in crate::proxy) fields: Fields,
    pub(in crate::proxy) status: StatusCode,
    /// How the body ends.
    pub(in crate::proxy) framing: Framing,
    /// Whether the connection can be used for another request.
    pub(in crate::proxy) keeps_alive: bool,
}

/// Decodes a response head, and removes it from the buffer. Returns `None` if it is not complete yet.
/// `is_head_request` means that the response has no body, whatever its fields say.
pub(in crate::proxy) fn decode(
    input: &mut BytesMut,
    scanner: &mut HeadScanner,
    is_head_request: bool,
) -> Result<Option<ResponseHead>, HeadError> {
    match scanner.take_head(input)? {
        Some(head) => parse(head, is_head_request).map(Some),
        None => Ok(None),
    }
}

fn parse(head: Bytes, is_head_request: bool) -> Result<ResponseHead, HeadError> {
    let mut lines = Lines::new(head);
    let (version, status) = status_line(&lines.start_line())?;
    let mut fields = Fields::with_capacity(16);
    fields.set_pseudo(Pseudo::Status, status_value(status));

    let max_len = fields.len() + MAX_FIELDS;
    let mut count = 0;
    let mut received = framing::Received::default();
    let mut connection = None;
    let mut seen = framing::SeenNames::default();
    loop {
        let next = lines.next_field(|name, field| {
            let Name::Header(header) = name.name() else {
                return;
            };
            match header.as_str() {
                "content-length" => received.length(&field),
                "transfer-encoding" => received.coding(&field),
                "connection" => connection = Some(options(&field.value, connection)),
                _ => {}
            }
            seen.append(&mut fields, name, FieldMap::ResponseHeaders, field.value);
        })?;
        if next.is_none() {
            break;
        }
        count += 1;
        // As in Envoy, values that are joined are one field.
        if count > MAX_LINES || fields.len() > max_len {
            return Err(HeadError::TooManyFields);
        }
    }
    let framing = received.of_response(status, is_head_request)?;
    let connection = connection.unwrap_or_default();
    let keeps_alive = match version {
        Version::HTTP_10 => connection.keep_alive && !connection.close,
        _ => !connection.close,
    };
    Ok(ResponseHead {
        fields,
        status,
        framing,
        keeps_alive: keeps_alive && framing != Framing::UntilClose,
    })
}

#[derive(Clone, Copy, Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
}

/// Adds the options in a value of `connection` to those of the values before it.
fn options(value: &HeaderValue, before: Option<ConnectionOptions>) -> ConnectionOptions {
    let mut options = before.unwrap_or_default();
    for option in value.as_bytes().split(|byte| *byte == b',').map(trim) {
        options.close |= option.eq_ignore_ascii_case(b"close");
        options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    options
}

/// Reads the version and the status. As in Envoy, every version of one digit each is accepted. Only the first three
/// digits of the status count; Envoy would forward all of them.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), HeadError> {
    const INVALID: HeadError = HeadError::Malformed("the status line is invalid");
    let blank = |bytes: &[u8]| bytes.iter().position(is_blank);
    let (version, rest) = line.split_at(blank(line).ok_or(INVALID)?);
    if !is_version(version) {
        return Err(INVALID);
    }
    let version = match version {
        b"HTTP/1.0" => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let rest = trim(rest);
    let (status, reason) = rest.split_at(blank(rest).unwrap_or(rest.len()));
    // The status consists of digits only, and what follows may contain any characters that can be printed.
    let is_printable = |byte: &u8| !byte.is_ascii_control() || is_blank(byte);
    if !status.iter().all(u8::is_ascii_digit) || !reason.iter().all(is_printable) {
        return Err(INVALID);
    }
    let status = status.get(..3).ok_or(INVALID)?;
    let status = StatusCode::from_bytes(status).map_err(|_| INVALID)?;
    Ok((version, status))
}

/// Returns whether the bytes are `HTTP/`, a digit, a point and a digit.
pub(super) fn is_version(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
