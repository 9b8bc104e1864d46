//! Describes in text what the upstream and the client received: one line per request line, status line, field, body and trailer, as the
//! README in `tests/edge` explains.

use crate::client::{End, Received};
use crate::message::{self, Message, Parsed};
use crate::upstream::Arrived;

/// Fields that a proxy generates, with values that depend on time or chance, or that a profile adds.
const GENERATED: [&str; 4] = ["date", "server", "x-forwarded-proto", "x-request-id"];
const GENERATED_PREFIX: &str = "x-envoy-";

/// Fields of a response that a proxy generates by itself. They describe its text, which is not compared.
const LOCAL: [&str; 2] = ["content-length", "content-type"];

/// From this number on, equal bytes in a row are counted.
const RUN: usize = 64;

/// Returns the lines for what arrived at the upstream.
pub fn requests(arrived: &Arrived) -> String {
    let mut lines = Vec::new();
    for request in &arrived.requests {
        lines.push(shown(&request.start));
        fields(&request.fields, &[], &mut lines);
        body(&request.body, &mut lines);
        trailers(&request.trailers, &mut lines);
    }
    let closed = std::iter::repeat_n("closed".to_owned(), arrived.closed);
    counted(closed, &mut lines);
    if arrived.waits {
        lines.push("waits".to_owned());
    }
    text("> ", &lines)
}

/// Returns the lines for what arrived at the client.
pub fn responses(received: &Received) -> String {
    let mut lines = Vec::new();
    for response in &received.responses {
        response_head(response, &mut lines);
        if !is_local(response) {
            body(&response.body, &mut lines);
        }
        trailers(&response.trailers, &mut lines);
    }
    rest(&received.rest, received.rest_is_to_head, &mut lines);
    lines.push(
        match received.end {
            End::Open => "open",
            End::Closed => "closed",
            End::Waits => "waits",
            End::Left => "left",
        }
        .to_owned(),
    );
    let others = received
        .others
        .iter()
        .map(|other| format!("other: {other}"));
    counted(others, &mut lines);
    text("< ", &lines)
}

/// Describes bytes that are not a complete response.
fn rest(bytes: &[u8], to_head: bool, lines: &mut Vec<String>) {
    if bytes.is_empty() {
        return;
    }
    match message::response(bytes, to_head) {
        Parsed::UntilClose(response, head) => {
            response_head(&response, lines);
            body(&bytes[head..], lines);
        }
        Parsed::Partial(response, head) => {
            response_head(&response, lines);
            lines.push(format!("cut off after \"{}\"", shown(&bytes[head..])));
        }
        // The client takes complete responses out.
        Parsed::Complete(..) | Parsed::Nothing => {
            lines.push(format!("not HTTP: \"{}\"", shown(bytes)));
        }
    }
}

fn response_head(response: &Message, lines: &mut Vec<String>) {
    // The version and the status. Reason phrases are not compared.
    lines.push(shown(response.start.get(..12).unwrap_or(&response.start)));
    let hidden: &[&str] = if is_local(response) { &LOCAL } else { &[] };
    fields(&response.fields, hidden, lines);
}

/// Returns whether a response is an error, for which only the status is compared.
fn is_local(response: &Message) -> bool {
    response.status().is_some_and(|status| status >= 400)
}

fn fields(fields: &[Vec<u8>], hidden: &[&str], lines: &mut Vec<String>) {
    let named = fields.iter().map(|field| {
        let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
        (String::from_utf8_lossy(name).to_lowercase(), field)
    });
    let compared = named.filter(|(name, _)| {
        let is_generated = GENERATED.contains(&name.as_str()) || name.starts_with(GENERATED_PREFIX);
        !is_generated && !hidden.contains(&name.as_str())
    });
    counted(compared.map(|(_, field)| shown(field)), lines);
}

fn body(body: &[u8], lines: &mut Vec<String>) {
    if !body.is_empty() {
        lines.push(format!("\"{}\"", shown(body)));
    }
}

fn trailers(trailers: &[Vec<u8>], lines: &mut Vec<String>) {
    let trailers = trailers.iter();
    counted(
        trailers.map(|trailer| format!("trailer {}", shown(trailer))),
        lines,
    );
}

/// Appends lines. Equal ones in a row become one line with their number.
fn counted(new: impl Iterator<Item = String>, lines: &mut Vec<String>) {
    let new: Vec<String> = new.collect();
    for group in new.chunk_by(|left, right| left == right) {
        lines.push(match group {
            [line] => line.clone(),
            _ => format!("{} ({} times)", group[0], group.len()),
        });
    }
}

fn text(prefix: &str, lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("{prefix}{line}\n"))
        .collect()
}

/// Returns bytes as printable text. Spaces at the ends are visible, and long runs of a byte are counted.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|left, right| left == right) {
        let one = match run[0] {
            b' ' if run.as_ptr_range().start == bytes.as_ptr_range().start
                || run.as_ptr_range().end == bytes.as_ptr_range().end =>
            {
                "\\x20".to_owned()
            }
            // Quotes need no escapes, because nothing parses this.
            quote @ (b'"' | b'\'') => char::from(quote).to_string(),
            byte => byte.escape_ascii().to_string(),
        };
        match run.len() {
            RUN.. => text.push_str(&format!("{{{{{one}*{}}}}}", run.len())),
            length => text.push_str(&one.repeat(length)),
        }
    }
    text
}
