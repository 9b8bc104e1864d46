//! Decodes the body of a message.
//!
//! Everything that a buffer contains is decoded before any of it is passed on, as in Envoy. Several chunks that arrive
//! together are therefore one chunk for plugins, and data that arrives together with a syntax error is dropped, unless
//! the error is in the trailers.

use bytes::{Buf as _, Bytes, BytesMut};
use tidegate_semantics::fields::Fields;
use tidegate_semantics::vocabulary::FieldMap;

use super::lines::{HeadScanner, Lines};
use super::{Framing, HeadError, MAX_FIELDS, framing};

/// Shorter data is copied. Otherwise, a few bytes that a plugin holds back would keep a whole buffer in memory.
const COPIED_SIZE: usize = 1024;

/// Decodes one body.
#[derive(Debug)]
pub(in crate::proxy) struct BodyDecoder {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The remaining number of bytes.
    Length(u64),
    UntilClose,
    Chunked(Chunk),
    Ended,
}

/// The position in a chunked body (RFC 9112, section 7.1).
#[derive(Debug)]
enum Chunk {
    /// In the digits of the size.
    Size { size: u64, has_digits: bool },
    /// In an extension, or in whatever follows a space after the size. It is ignored.
    Extension(u64),
    /// After the carriage return at the end of the line.
    SizeLineEnd(u64),
    /// In the data, with the remaining number of bytes.
    Data(u64),
    /// After the data, until the next line feed.
    DataEnd,
    /// In the trailers.
    Trailers(HeadScanner),
    /// The trailers are invalid, but the data before them has yet to be passed on.
    Failed(HeadError),
}

/// What a buffer contained.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Decoded {
    /// The data, possibly empty.
    pub(in crate::proxy) data: Bytes,
    /// The end of the body, if it has been reached.
    pub(in crate::proxy) end: Option<End>,
}

/// The end of a body.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum End {
    /// There are no trailers.
    Body,
    Trailers(Fields),
}

// === impl BodyDecoder ===

impl BodyDecoder {
    pub(in crate::proxy) fn new(framing: Framing) -> Self {
        Self {
            state: match framing {
                Framing::None => State::Ended,
                Framing::Length(length) => State::Length(length),
                Framing::Chunked => State::Chunked(Chunk::START),
                Framing::UntilClose => State::UntilClose,
            },
        }
    }

    /// Returns whether the body has been decoded to its end.
    pub(in crate::proxy) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Decodes the contents of a buffer, up to the end of the body. What belongs to the body is removed from the
    /// buffer, except an incomplete trailer. `map` is the kind of the trailers.
    pub(in crate::proxy) fn decode(
        &mut self,
        input: &mut BytesMut,
        map: FieldMap,
    ) -> Result<Decoded, HeadError> {
        match &mut self.state {
            State::Ended => Ok(Decoded::default()),
            State::UntilClose => Ok(Decoded {
                data: take(input, &mut { u64::MAX }),
                end: None,
            }),
            State::Length(left) => {
                let data = take(input, left);
                let end = (*left == 0).then_some(End::Body);
                if end.is_some() {
                    self.state = State::Ended;
                }
                Ok(Decoded { data, end })
            }
            State::Chunked(chunk) => {
                let decoded = decode_chunks(chunk, input, map)?;
                if decoded.end.is_some() {
                    self.state = State::Ended;
                }
                Ok(decoded)
            }
        }
    }

    /// Returns whether more has to be received before anything can be decoded.
    pub(in crate::proxy) fn needs_input(&self) -> bool {
        !matches!(self.state, State::Ended | State::Chunked(Chunk::Failed(_)))
    }

    /// Processes the end of the connection. Returns whether the body is complete.
    pub(in crate::proxy) fn close(&mut self) -> bool {
        let complete = matches!(self.state, State::Ended | State::UntilClose);
        self.state = State::Ended;
        complete
    }
}

// === impl Chunk ===

impl Chunk {
    const START: Self = Self::Size {
        size: 0,
        has_digits: false,
    };

    /// Returns what follows the line that contains the size.
    fn after_size_line(size: u64) -> Self {
        match size {
            0 => Self::Trailers(HeadScanner::default()),
            size => Self::Data(size),
        }
    }
}

fn decode_chunks(
    chunk: &mut Chunk,
    input: &mut BytesMut,
    map: FieldMap,
) -> Result<Decoded, HeadError> {
    const INVALID: HeadError = HeadError::Malformed("the size of a chunk is invalid");
    let mut data = Collected::default();
    loop {
        if let Chunk::Trailers(scanner) = chunk {
            let end = match decode_trailers(scanner, input, map) {
                Ok(end) => end,
                Err(error) if data.is_empty() => return Err(error),
                Err(error) => {
                    *chunk = Chunk::Failed(error);
                    None
                }
            };
            return Ok(data.decoded(end));
        }
        if let Chunk::Failed(error) = chunk {
            return Err(*error);
        }
        let Some(first) = input.first().copied() else {
            return Ok(data.decoded(None));
        };
        *chunk = match chunk {
            Chunk::Size { size, has_digits } => {
                let after = match first {
                    b'\r' => Chunk::SizeLineEnd(*size),
                    b';' | b' ' | b'\t' => Chunk::Extension(*size),
                    digit => {
                        let digit = char::from(digit).to_digit(16).ok_or(INVALID)?;
                        let shifted = size.checked_mul(16).ok_or(INVALID)?;
                        input.advance(1);
                        *chunk = Chunk::Size {
                            size: shifted + u64::from(digit),
                            has_digits: true,
                        };
                        continue;
                    }
                };
                if !*has_digits {
                    return Err(INVALID);
                }
                input.advance(1);
                after
            }
            Chunk::Extension(size) => {
                let end = memchr::memchr2(b'\r', b'\n', input);
                let Some(end) = end else {
                    input.clear();
                    continue;
                };
                if input.get(end) == Some(&b'\n') {
                    return Err(INVALID);
                }
                input.advance(end + 1);
                Chunk::SizeLineEnd(*size)
            }
            Chunk::SizeLineEnd(size) => {
                if first != b'\n' {
                    return Err(INVALID);
                }
                input.advance(1);
                Chunk::after_size_line(*size)
            }
            Chunk::Data(left) => {
                data.push(take(input, left));
                match *left {
                    0 => Chunk::DataEnd,
                    left => Chunk::Data(left),
                }
            }
            Chunk::DataEnd => {
                // Like Envoy, this ignores what precedes the line feed.
                let Some(feed) = memchr::memchr(b'\n', input) else {
                    input.clear();
                    continue;
                };
                input.advance(feed + 1);
                Chunk::START
            }
            Chunk::Trailers(_) | Chunk::Failed(_) => continue,
        };
    }
}

/// Returns the end of the body. Returns `None` if it has not been received yet.
fn decode_trailers(
    scanner: &mut HeadScanner,
    input: &mut BytesMut,
    map: FieldMap,
) -> Result<Option<End>, HeadError> {
    let Some(block) = scanner.take_head(input)? else {
        return Ok(None);
    };
    let mut lines = Lines::new(block);
    let mut seen = framing::SeenNames::default();
    let mut trailers = Fields::new();
    while lines
        .next_field(|name, field| seen.append(&mut trailers, name, map, field.value))?
        .is_some()
    {
        if trailers.len() > MAX_FIELDS {
            return Err(HeadError::TooManyFields);
        }
    }
    Ok(Some(match trailers.is_empty() {
        true => End::Body,
        false => End::Trailers(trailers),
    }))
}

/// Removes up to `left` bytes from a buffer.
fn take(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let available = u64::try_from(input.len()).unwrap_or(u64::MAX);
    let count = available.min(*left);
    *left -= count;
    // `count` is at most the length of the buffer.
    let count = usize::try_from(count)
        .unwrap_or(input.len())
        .min(input.len());
    let data = input.split_to(count);
    match count <= COPIED_SIZE {
        true => Bytes::copy_from_slice(&data),
        false => data.freeze(),
    }
}

/// The data of one or more chunks. A single one is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    all: BytesMut,
}

// === impl Collected ===

impl Collected {
    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }

    fn decoded(self, end: Option<End>) -> Decoded {
        let data = match self.all.is_empty() {
            true => self.first,
            false => self.all.freeze(),
        };
        Decoded { data, end }
    }
}
