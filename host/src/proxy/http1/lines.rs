//! The lines of a message head or of trailers.
//!
//! A line ends with a line feed, with or without a carriage return before it. A line that starts with a space or a tab
//! continues the value before it (RFC 9112, section 5.2).

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::HeaderValue;
use tidegate_semantics::fields::ParsedName;

use super::{HeadError, MAX_HEAD_SIZE};

/// Finds the end of a head in a buffer that grows. No byte is examined twice.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct HeadScanner {
    /// How many bytes have been examined.
    scanned: usize,
    /// Where the current line starts.
    line: usize,
}

// === impl HeadScanner ===

impl HeadScanner {
    /// Returns whether nothing of a head has been examined.
    pub(super) fn is_at_start(&self) -> bool {
        self.scanned == 0
    }

    /// Removes a complete head from the buffer, including the empty line at its end. Returns `None` if the end has not
    /// been received yet. The scanner is then ready for the next head.
    pub(super) fn take_head(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, HeadError> {
        match self.find_end(input) {
            Some(end) if end <= MAX_HEAD_SIZE => {
                *self = Self::default();
                Ok(Some(input.split_to(end).freeze()))
            }
            None if input.len() <= MAX_HEAD_SIZE => Ok(None),
            _ => Err(HeadError::TooLarge),
        }
    }

    /// Returns the position after the empty line.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        while let Some(found) = input
            .get(self.scanned..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let feed = self.scanned + found;
            let line = input.get(self.line..feed).unwrap_or_default();
            self.scanned = feed + 1;
            self.line = feed + 1;
            if matches!(line, [] | [b'\r']) {
                return Some(feed + 1);
            }
        }
        self.scanned = input.len();
        None
    }
}

/// Removes the line ends before a request line. RFC 9112, section 2.2, asks servers to ignore an empty line there.
pub(super) fn skip_line_ends(input: &mut BytesMut) {
    let count = input
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    input.advance(count);
}

/// The lines of a complete head or of complete trailers.
pub(super) struct Lines {
    block: Bytes,
    at: usize,
}

/// The value of a field.
pub(super) struct Value {
    pub(super) value: HeaderValue,
    /// Whether a carriage return was removed from within the value. Other recipients may keep it, or end the line there.
    pub(super) had_carriage_return: bool,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(block: Bytes) -> Self {
        Self { block, at: 0 }
    }

    /// Returns the start line, without its end.
    pub(super) fn start_line(&mut self) -> Bytes {
        let start = self.at;
        let end = self.end_of_line(start);
        self.at = end + 1;
        let line = self.block.slice(start..end);
        match line.strip_suffix(b"\r") {
            Some(stripped) => line.slice(..stripped.len()),
            None => line,
        }
    }

    /// Calls `call` with the next field, unless the empty line at the end follows. Returns `None` at the end.
    pub(super) fn next_field<R>(
        &mut self,
        call: impl FnOnce(&ParsedName, Value) -> R,
    ) -> Result<Option<R>, HeadError> {
        let start = self.at;
        let mut end = self.end_of_line(start);
        if matches!(self.block.get(start..end), None | Some([]) | Some([b'\r'])) {
            return Ok(None);
        }
        let mut folded = false;
        while let Some(b' ' | b'\t') = self.block.get(end + 1) {
            folded = true;
            end = self.end_of_line(end + 1);
        }
        self.at = end + 1;
        let line = self.block.get(start..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon =
            memchr::memchr(b':', line).ok_or(HeadError::Malformed("a field has no colon"))?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let value = self.value(value, folded)?;
        match with_name(name, |name| call(name, value)) {
            Some(result) => Ok(Some(result)),
            None => Err(HeadError::Malformed("the name of a field is invalid")),
        }
    }

    /// Returns the position of the line feed that ends a line, or the end of the block.
    fn end_of_line(&self, start: usize) -> usize {
        match self.block.get(start..) {
            Some(rest) => start + memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
            None => self.block.len(),
        }
    }

    /// Converts the bytes after the colon. The value shares the memory of the block, unless line ends or carriage
    /// returns have to be removed from it.
    fn value(&self, raw: &[u8], folded: bool) -> Result<Value, HeadError> {
        let trimmed = trim(raw);
        let mut had_carriage_return = false;
        let value = if folded || memchr::memchr(b'\r', trimmed).is_some() {
            let mut unfolded: Vec<u8> = trimmed
                .split(|byte| *byte == b'\n')
                .flat_map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .copied()
                .collect();
            had_carriage_return = trim(&unfolded).contains(&b'\r');
            unfolded.retain(|byte| *byte != b'\r');
            Bytes::copy_from_slice(trim(&unfolded))
        } else {
            self.block.slice_ref(trimmed)
        };
        let value = HeaderValue::from_maybe_shared(value)
            .map_err(|_| HeadError::Malformed("the value of a field contains an invalid byte"))?;
        Ok(Value {
            value,
            had_carriage_return,
        })
    }
}

/// Returns whether a byte separates the parts of a start line, and is not part of a value that it precedes or follows.
pub(super) fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Removes spaces, tabs and carriage returns at both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().take_while(|byte| is_blank(byte)).count();
    let bytes = bytes.get(start..).unwrap_or_default();
    let end = bytes.iter().rev().take_while(|byte| is_blank(byte)).count();
    bytes.get(..bytes.len() - end).unwrap_or_default()
}

/// Parses a name. Short names are converted to lowercase first, so that the cache of names finds them.
fn with_name<R>(name: &[u8], call: impl FnOnce(&ParsedName) -> R) -> Option<R> {
    // A name that starts with a colon is empty here, so pseudo-headers cannot be received.
    let mut buffer = [0; 64];
    match buffer.get_mut(..name.len()) {
        Some(lowercase) => {
            lowercase.copy_from_slice(name);
            lowercase.make_ascii_lowercase();
            ParsedName::with(lowercase, call)
        }
        None => ParsedName::with(name, call),
    }
}
