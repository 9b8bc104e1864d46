//! Tests of the codec. Those of a module are in the file with its name. `pieces`, `damage`, `round_trip` and `oracle` check properties
//! of all modules together.
//!
//! What is accepted was observed in Envoy 1.40. `tests/edge` compares whole exchanges.

mod body;
mod damage;
mod encode;
mod framing;
mod lines;
mod oracle;
mod output;
mod pieces;
mod request;
mod response;
mod round_trip;

use bytes::BytesMut;
use tidegate_semantics::fields::{Fields, Name};

use super::output::Output;
use super::request::RequestHead;
use super::response::ResponseHead;
use super::{HeadError, HeadScanner};

/// Decodes the head of a request, which must be complete.
fn decode_request(bytes: impl AsRef<[u8]>) -> Result<RequestHead, HeadError> {
    let mut input = BytesMut::from(bytes.as_ref());
    let head = super::request::decode(&mut input, &mut HeadScanner::default())?;
    Ok(head.expect("the head is complete"))
}

/// Decodes the head of a response, which must be complete.
fn decode_response(
    bytes: impl AsRef<[u8]>,
    is_head_request: bool,
) -> Result<ResponseHead, HeadError> {
    let mut input = BytesMut::from(bytes.as_ref());
    let head = super::response::decode(&mut input, &mut HeadScanner::default(), is_head_request)?;
    Ok(head.expect("the head is complete"))
}

/// Decodes a request for `/a` from `h` with more fields.
fn with_fields(fields: impl AsRef<[u8]>) -> Result<RequestHead, HeadError> {
    let start = b"GET /a HTTP/1.1\r\nhost: h\r\n";
    decode_request([start, fields.as_ref(), b"\r\n"].concat())
}

/// Returns fields as lines.
fn lines_of(fields: &Fields) -> Vec<String> {
    let line = |(name, value): (&Name, &http::HeaderValue)| {
        format!("{}: {}", name.as_str(), value.as_bytes().escape_ascii())
    };
    fields.iter().map(line).collect()
}

/// Returns the lines of a request without its pseudo-headers.
fn headers_of(head: &RequestHead) -> Vec<String> {
    lines_of(&head.fields)
        .into_iter()
        .filter(|line| !line.starts_with(':'))
        .collect()
}

/// Creates fields from lines.
fn fields_of(lines: &[&str]) -> Fields {
    let field = |line: &&str| {
        let (name, value) = line.rsplit_once(": ").expect("a colon and a space");
        let name = Name::parse(name.as_bytes()).expect("a valid name");
        (name, value.parse().expect("a valid value"))
    };
    lines.iter().map(field).collect()
}

/// Returns everything that waits to be sent.
fn sent(output: &mut Output) -> Vec<u8> {
    let mut all = Vec::new();
    while !output.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let count = output.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|it| it.iter().copied())
            .collect();
        output.advance(bytes.len());
        all.extend(bytes);
    }
    all
}
