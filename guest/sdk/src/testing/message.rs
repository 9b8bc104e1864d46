//! [`Message`]: a request or a response.

use bytes::Bytes;
use http::HeaderValue;
use tidegate_semantics::{
    fields::{Fields, Name},
    port::{CallOutcome, CallResponse},
};

use crate::bindings::http_call_types::entries;

/// A request or a response, as a test writes it or as the other side has received it.
///
/// ```
/// use tidegate_guest::testing::Message;
///
/// let request = Message::post("/orders?draft=1").header("content-type", "text/plain").body("one");
/// assert_eq!(request.value(":method"), Some("POST"));
/// let response = Message::response(200).chunk("one").chunk("two").trailer("x-sum", "7");
/// assert_eq!(response.content(), b"onetwo");
/// assert_eq!((response.status(), response.trailer_value("x-sum")), (Some(200), Some("7")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    headers: Vec<(String, Vec<u8>)>,
    chunks: Vec<Vec<u8>>,
    trailers: Vec<(String, Vec<u8>)>,
    is_complete: bool,
}

// === impl Message ===

impl Message {
    /// Creates a GET request to `example.com`.
    pub fn get(path: &str) -> Self {
        Message::request("GET", path)
    }

    /// Creates a POST request to `example.com`. It has no body yet.
    pub fn post(path: &str) -> Self {
        Message::request("POST", path)
    }

    /// Creates a request to `example.com` with the scheme `http`.
    pub fn request(method: &str, path: &str) -> Self {
        Message::new()
            .header(":authority", "example.com")
            .header(":path", path)
            .header(":method", method)
            .header(":scheme", "http")
    }

    /// Creates a response.
    pub fn response(status: u16) -> Self {
        Message::new().header(":status", status.to_string())
    }

    fn new() -> Self {
        Message {
            is_complete: true,
            ..Message::default()
        }
    }

    /// Adds a header. A pseudo-header replaces the one that the message has, for example `:authority`.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let name = name.to_ascii_lowercase();
        let value = value.into();
        let existing = self.headers.iter_mut().find(|(it, _)| *it == name);
        match existing.filter(|_| name.starts_with(':')) {
            Some(existing) => existing.1 = value,
            None => self.headers.push((name, value)),
        }
        self
    }

    /// Sets the body. It is received in one chunk.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.chunks = vec![body.into()];
        self
    }

    /// Adds a chunk to the body. The plugin receives each chunk separately.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.chunks.push(chunk.into());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.trailers
            .push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Returns the first value of a header. Returns `None` if it is absent or not valid UTF-8. The name is compared case-insensitively.
    pub fn value(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Returns the values of a header that are valid UTF-8, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name).collect()
    }

    /// Returns all headers, in order, including pseudo-headers. The names are lowercase.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// Returns the status code. A request has none.
    pub fn status(&self) -> Option<u16> {
        self.value(":status")?.parse().ok()
    }

    /// Returns the chunks of the body, in order.
    pub fn chunks(&self) -> &[Vec<u8>] {
        &self.chunks
    }

    /// Returns the body: all chunks.
    pub fn content(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// Returns the body as text. Bytes that are not valid UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content()).into_owned()
    }

    /// Returns the first value of a trailer, like [`value`](Self::value).
    pub fn trailer_value(&self, name: &str) -> Option<&str> {
        first(&self.trailers, name)
    }

    /// Returns all trailers, in order. The names are lowercase.
    pub fn trailers(&self) -> &[(String, Vec<u8>)] {
        &self.trailers
    }

    /// Returns whether nothing more follows. A message that a test has written is complete.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Creates a message of which only headers have been received.
    pub(super) fn received(headers: &Fields, is_complete: bool) -> Self {
        Message {
            headers: entries(headers),
            is_complete,
            ..Message::default()
        }
    }

    /// Adds received data.
    pub(super) fn receive(&mut self, data: &Bytes, end: bool) {
        if !data.is_empty() {
            self.chunks.push(data.to_vec());
        }
        self.is_complete = end;
    }

    /// Adds received trailers, which end the message.
    pub(super) fn receive_trailers(&mut self, trailers: &Fields) {
        self.trailers = entries(trailers);
        self.is_complete = true;
    }

    /// Returns the headers as the proxy represents them.
    #[track_caller]
    pub(super) fn header_fields(&self) -> Fields {
        fields(&self.headers)
    }

    /// Returns the trailers as the proxy represents them.
    #[track_caller]
    pub(super) fn trailer_fields(&self) -> Fields {
        fields(&self.trailers)
    }

    /// Returns the response as the outcome of a call.
    #[track_caller]
    pub(super) fn to_outcome(&self) -> CallOutcome {
        CallOutcome::Response(CallResponse {
            headers: self.header_fields(),
            body: self.content().into(),
            trailers: self.trailer_fields(),
        })
    }
}

/// # Panics
///
/// Panics if a name or a value is not valid. No proxy would pass it on.
#[track_caller]
fn fields(entries: &[(String, Vec<u8>)]) -> Fields {
    let mut fields = Fields::with_capacity(entries.len());
    for (name, value) in entries {
        match (Name::parse(name.as_bytes()), HeaderValue::from_bytes(value)) {
            (Some(name), Ok(value)) => fields.append(name, value),
            (None, _) => panic!("`{name}` is not the name of a header or trailer"),
            (_, Err(_)) => panic!("the value of `{name}` contains a control character"),
        }
    }
    fields
}

fn first<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let value = fields.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
    str::from_utf8(&value?.1).ok()
}

fn all<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> impl Iterator<Item = &'a str> {
    let values = fields
        .iter()
        .filter(move |(it, _)| it.eq_ignore_ascii_case(name));
    values.filter_map(|(_, value)| str::from_utf8(value).ok())
}
