//! Writes messages.

use http::{Method, StatusCode};
use tidegate_semantics::fields::{Fields, FieldsError, Name, Pseudo};

use super::framing::length;
use super::output::Output;
use bytes::Bytes;

/// Methods whose requests have no `content-length: 0` if there is no body.
const BODILESS_METHODS: [&[u8]; 5] = [b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"];

/// Writes one body.
#[derive(Debug)]
pub(in crate::proxy) struct BodyEncoder {
    format: Format,
    /// The value of `content-length`, if it has been sent.
    announced: Option<u64>,
    /// The number of bytes of data so far.
    written: u64,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// The message cannot have a body. Data is dropped.
    None,
    /// The data, as it is.
    Plain,
    Chunked,
}

/// What a response is sent for, and whether the connection ends after it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct ResponseOptions {
    /// The request was a `HEAD` request, so the response has no body.
    pub(in crate::proxy) to_head_request: bool,
    /// The connection is closed after the response.
    pub(in crate::proxy) close: bool,
}

/// Writes the head of a request. `end` means that neither a body nor trailers follow.
pub(in crate::proxy) fn request(
    output: &mut Output,
    fields: &Fields,
    end: bool,
) -> Result<BodyEncoder, FieldsError> {
    let required = |pseudo: Pseudo| {
        fields
            .pseudo(pseudo)
            .ok_or(FieldsError::Missing(pseudo.as_str()))
    };
    let invalid = |pseudo: Pseudo, value: &http::HeaderValue| FieldsError::Invalid {
        name: pseudo.as_str(),
        value: value.clone(),
    };
    let method = required(Pseudo::Method)?;
    if Method::from_bytes(method.as_bytes()).is_err() {
        return Err(invalid(Pseudo::Method, method));
    }
    let path = required(Pseudo::Path)?;
    // A space would end the target.
    if path
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b' ' | b'\t'))
    {
        return Err(invalid(Pseudo::Path, path));
    }
    let tail = output.tail();
    for part in [method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"] {
        tail.extend_from_slice(part);
    }
    if let Some(authority) = fields.pseudo(Pseudo::Authority) {
        field(output, "host", authority.as_bytes());
    }
    let announced = announced_length(fields).filter(|length| !end || *length == 0);
    write_fields(output, fields, announced.is_some(), &["transfer-encoding"]);
    let format = match (announced, end) {
        (Some(_), _) => Format::Plain,
        (None, true) => {
            if !BODILESS_METHODS.contains(&method.as_bytes()) {
                field(output, "content-length", b"0");
            }
            Format::Plain
        }
        (None, false) => {
            field(output, "transfer-encoding", b"chunked");
            Format::Chunked
        }
    };
    output.tail().extend_from_slice(b"\r\n");
    Ok(BodyEncoder {
        format,
        announced,
        written: 0,
        ended: end,
    })
}

/// The fields of a response that concern only the connection to the upstream.
const CONNECTION_FIELDS: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Writes the head of a response. `end` means that neither a body nor trailers follow.
pub(in crate::proxy) fn response(
    output: &mut Output,
    fields: &Fields,
    end: bool,
    options: ResponseOptions,
) -> Result<BodyEncoder, FieldsError> {
    let status = fields.status()?;
    if status.is_informational() {
        return Err(FieldsError::Invalid {
            name: Pseudo::Status.as_str(),
            value: status.as_u16().into(),
        });
    }
    let tail = output.tail();
    tail.extend_from_slice(b"HTTP/1.1 ");
    tail.extend_from_slice(status.as_str().as_bytes());
    tail.extend_from_slice(b" ");
    let reason = status.canonical_reason().unwrap_or("Unknown");
    tail.extend_from_slice(reason.as_bytes());
    tail.extend_from_slice(b"\r\n");

    let never_has_body = status == StatusCode::NO_CONTENT;
    let has_no_body =
        options.to_head_request || never_has_body || status == StatusCode::NOT_MODIFIED;
    // Without a body, the length may describe the one that a `GET` request would have received.
    let announced = announced_length(fields)
        .filter(|length| !never_has_body && (has_no_body || !end || *length == 0));
    let has_date = write_fields(output, fields, announced.is_some(), &CONNECTION_FIELDS);
    if !has_date {
        super::date::with(|date| field(output, "date", date));
    }
    if options.close {
        field(output, "connection", b"close");
    }
    let format = match announced {
        _ if never_has_body || status == StatusCode::NOT_MODIFIED => Format::None,
        Some(_) if has_no_body => Format::None,
        Some(_) => Format::Plain,
        None if options.to_head_request => {
            field(output, "transfer-encoding", b"chunked");
            Format::None
        }
        None if end => {
            field(output, "content-length", b"0");
            Format::Plain
        }
        None => {
            field(output, "transfer-encoding", b"chunked");
            Format::Chunked
        }
    };
    output.tail().extend_from_slice(b"\r\n");
    Ok(BodyEncoder {
        format,
        announced: announced.filter(|_| format == Format::Plain),
        written: 0,
        ended: end,
    })
}

/// Writes the interim response that asks a client to send the body.
pub(in crate::proxy) fn continue_response(output: &mut Output) {
    output
        .tail()
        .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Returns the value of `content-length`. Plugins can set any value. If it is not a length, or occurs twice, it is not
/// sent.
fn announced_length(fields: &Fields) -> Option<u64> {
    let mut values = fields.values("content-length");
    let first = values.next()?;
    match values.next() {
        None => length(first.as_bytes()),
        Some(_) => None,
    }
}

/// Writes all fields except pseudo-headers and those that are excluded. Returns whether `date` is among them.
fn write_fields(
    output: &mut Output,
    fields: &Fields,
    with_length: bool,
    excluded: &[&str],
) -> bool {
    let mut has_date = false;
    for (name, value) in fields.iter() {
        let Name::Header(name) = name else { continue };
        let name = name.as_str();
        if excluded.contains(&name) || (!with_length && name == "content-length") {
            continue;
        }
        has_date |= name == "date";
        field(output, name, value.as_bytes());
    }
    has_date
}

fn field(output: &mut Output, name: &str, value: &[u8]) {
    let tail = output.tail();
    tail.reserve(name.len() + value.len() + 4);
    tail.extend_from_slice(name.as_bytes());
    tail.extend_from_slice(b": ");
    tail.extend_from_slice(value);
    tail.extend_from_slice(b"\r\n");
}

// === impl BodyEncoder ===

impl BodyEncoder {
    /// Writes a part of the body.
    pub(in crate::proxy) fn data(&mut self, output: &mut Output, data: Bytes) {
        if data.is_empty() || self.ended {
            return;
        }
        self.written = self
            .written
            .saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        match self.format {
            Format::None => {}
            Format::Plain => output.push(data),
            Format::Chunked => {
                output.hexadecimal(data.len());
                output.tail().extend_from_slice(b"\r\n");
                output.push(data);
                output.tail().extend_from_slice(b"\r\n");
            }
        }
    }

    /// Writes the end of the body. Trailers can only be sent after chunks.
    pub(in crate::proxy) fn end(&mut self, output: &mut Output, trailers: Option<&Fields>) {
        if self.ended {
            return;
        }
        self.ended = true;
        if self.format == Format::Chunked {
            output.tail().extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                write_fields(output, trailers, true, &[]);
            }
            output.tail().extend_from_slice(b"\r\n");
        }
    }

    /// Returns whether the message has been written to its end.
    pub(in crate::proxy) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the announced and the actual length of a complete body, if they differ. The recipient then takes a part
    /// of the body for the next message, or waits for more.
    pub(in crate::proxy) fn wrong_length(&self) -> Option<(u64, u64)> {
        let announced = self.announced?;
        (self.ended && announced != self.written).then_some((announced, self.written))
    }
}
