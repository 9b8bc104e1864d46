//! Parses HTTP/1.1 messages as a simple recipient does. What a proxy sends is expected to be well-formed; what is not stays unparsed.

/// A complete message.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The request line or the status line.
    pub start: Vec<u8>,
    /// The lines of the fields, in order.
    pub fields: Vec<Vec<u8>>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
    /// The lines of the trailers, in order.
    pub trailers: Vec<Vec<u8>>,
}

/// The result of parsing a message.
pub enum Parsed {
    /// A message, and the number of bytes that it takes.
    Complete(Message, usize),
    /// The head of a response whose body lasts until the connection is closed, and the size of the head.
    UntilClose(Message, usize),
    /// A head that is followed by a part of its body, and the size of the head.
    Partial(Message, usize),
    /// Not even a head.
    Nothing,
}

/// How the length of a body is determined.
enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Parses a request.
pub fn request(bytes: &[u8]) -> Parsed {
    let Some((message, head)) = head(bytes) else {
        return Parsed::Nothing;
    };
    let framing = match message.framing() {
        Framing::UntilClose => Framing::None,
        framing => framing,
    };
    with_body(message, head, bytes, framing)
}

/// Parses a response. `to_head` means that it responds to a `HEAD` request.
pub fn response(bytes: &[u8], to_head: bool) -> Parsed {
    let Some((message, head)) = head(bytes) else {
        return Parsed::Nothing;
    };
    let Some(status) = message.status() else {
        return Parsed::Nothing;
    };
    let framing = match status {
        100..=199 | 204 | 304 => Framing::None,
        _ if to_head => Framing::None,
        _ => message.framing(),
    };
    with_body(message, head, bytes, framing)
}

/// Splits a head into lines. Returns its size, too.
fn head(bytes: &[u8]) -> Option<(Message, usize)> {
    let length = find(bytes, END_OF_HEAD)?;
    let mut lines = lines(&bytes[..length]).into_iter();
    let message = Message {
        start: lines.next().unwrap_or_default(),
        fields: lines.collect(),
        ..Message::default()
    };
    Some((message, length + END_OF_HEAD.len()))
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(rest[..end].to_vec());
        rest = &rest[end + 2..];
    }
    lines.push(rest.to_vec());
    lines
}

fn with_body(mut message: Message, head: usize, bytes: &[u8], framing: Framing) -> Parsed {
    let rest = &bytes[head..];
    match framing {
        Framing::None => Parsed::Complete(message, head),
        Framing::UntilClose => Parsed::UntilClose(message, head),
        Framing::Length(length) => match rest.get(..length) {
            Some(body) => {
                message.body = body.to_vec();
                Parsed::Complete(message, head + length)
            }
            None => Parsed::Partial(message, head),
        },
        Framing::Chunked => match chunks(rest) {
            Some((body, trailers, length)) => {
                message.body = body;
                message.trailers = trailers;
                Parsed::Complete(message, head + length)
            }
            None => Parsed::Partial(message, head),
        },
    }
}

/// Decodes chunks. Returns the body, the trailers, and the number of bytes that they take.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let line = &bytes[at..at + find(&bytes[at..], b"\r\n")?];
        at += line.len() + 2;
        let digits = line.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size)?;
        body.extend_from_slice(bytes.get(at..end)?);
        at = end + 2;
        if at > bytes.len() {
            return None;
        }
    }
    let mut trailers = Vec::new();
    loop {
        let line = &bytes[at..at + find(&bytes[at..], b"\r\n")?];
        at += line.len() + 2;
        if line.is_empty() {
            return Some((body, trailers, at));
        }
        trailers.push(line.to_vec());
    }
}

/// Returns the position of the first occurrence.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

// === impl Message ===

impl Message {
    /// Returns the status of a response.
    pub fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix(b"HTTP/1.")?;
        let digits = rest.get(2..5)?;
        (rest.get(1) == Some(&b' ') && digits.iter().all(u8::is_ascii_digit))
            .then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    }

    /// Returns the values of a field, joined with commas, in lower case. Empty if there is no such field.
    pub fn values(&self, name: &str) -> String {
        let values: Vec<String> = self
            .fields
            .iter()
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let is_it = line[..colon].eq_ignore_ascii_case(name.as_bytes());
                is_it
                    .then(|| String::from_utf8_lossy(line[colon + 1..].trim_ascii()).to_lowercase())
            })
            .collect();
        values.join(",")
    }

    /// Returns whether the sender closes the connection after this message.
    pub fn closes(&self) -> bool {
        self.values("connection")
            .split(',')
            .any(|option| option.trim() == "close")
    }

    fn framing(&self) -> Framing {
        if self.values("transfer-encoding").ends_with("chunked") {
            return Framing::Chunked;
        }
        match self.values("content-length").parse() {
            Ok(length) => Framing::Length(length),
            Err(_) => Framing::UntilClose,
        }
    }
}
