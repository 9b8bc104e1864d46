//! Determines from the fields of a head how the body ends, and collects fields as Envoy does.

use http::StatusCode;
use http::header::HeaderValue;
use tidegate_semantics::fields::{Fields, ParsedName};
use tidegate_semantics::vocabulary::FieldMap;

use super::lines::Value;
use super::{Framing, HeadError};

/// The fields that frame a body, as they have been received.
#[derive(Debug, Default)]
pub(super) struct Received {
    length: Option<Result<u64, HeadError>>,
    coding: Option<Coding>,
    /// Whether the only `content-length` is `0`, literally.
    has_length_zero: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
    /// It contained a carriage return.
    Ambiguous,
}

// === impl Received ===

impl Received {
    /// Records a `content-length`. Only one is allowed, even if another one has the same value.
    pub(super) fn length(&mut self, received: &Value) {
        let value = received.value.as_bytes();
        self.has_length_zero = self.length.is_none() && value == b"0";
        self.length = Some(match self.length {
            Some(_) => Err(HeadError::Malformed("`content-length` occurs twice")),
            None if received.had_carriage_return => Err(HeadError::Malformed(
                "`content-length` contains a carriage return",
            )),
            None => length(value).ok_or(HeadError::Malformed("`content-length` is not a number")),
        });
    }

    /// Records a `transfer-encoding`. Only a single `chunked` is supported.
    pub(super) fn coding(&mut self, received: &Value) {
        let is_chunked = received.value.as_bytes().eq_ignore_ascii_case(b"chunked");
        self.coding = Some(match self.coding {
            _ if received.had_carriage_return => Coding::Ambiguous,
            None if is_chunked => Coding::Chunked,
            Some(Coding::Ambiguous) => Coding::Ambiguous,
            _ => Coding::Other,
        });
    }

    /// Returns how the body of a request ends.
    pub(super) fn of_request(&self, is_connect: bool) -> Result<Framing, HeadError> {
        let framing = self.framing()?;
        if !is_connect {
            return Ok(framing.unwrap_or(Framing::None));
        }
        // What follows is not HTTP. As in Envoy, a length of zero is ignored.
        match (self.length, self.coding) {
            (_, Some(_)) => Err(HeadError::UnknownCoding),
            (Some(_), None) if !self.has_length_zero => {
                Err(HeadError::Malformed("`CONNECT` has a `content-length`"))
            }
            _ => Ok(Framing::None),
        }
    }

    /// Returns how the body of a response ends.
    pub(super) fn of_response(
        &self,
        status: StatusCode,
        is_head_request: bool,
    ) -> Result<Framing, HeadError> {
        let framing = self.framing()?;
        // RFC 9112, section 6.1 and 6.3. Like Envoy, this accepts a length of zero.
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            if self.coding.is_some() || (self.length.is_some() && !self.has_length_zero) {
                return Err(HeadError::Malformed(
                    "a response that cannot have a body announces one",
                ));
            }
            return Ok(Framing::None);
        }
        if is_head_request || status == StatusCode::NOT_MODIFIED {
            return Ok(Framing::None);
        }
        Ok(framing.unwrap_or(Framing::UntilClose))
    }

    /// Returns what the fields say. Returns `None` if there are none.
    fn framing(&self) -> Result<Option<Framing>, HeadError> {
        match (self.length, self.coding) {
            (Some(_), Some(_)) => Err(HeadError::Malformed(
                "`content-length` and `transfer-encoding` occur together",
            )),
            (None, Some(Coding::Chunked)) => Ok(Some(Framing::Chunked)),
            (None, Some(Coding::Other)) => Err(HeadError::UnknownCoding),
            // Envoy forwards such a request without its body, and takes the body for the next request.
            (None, Some(Coding::Ambiguous)) => Err(HeadError::Malformed(
                "`transfer-encoding` contains a carriage return",
            )),
            (Some(length), None) => match length? {
                0 => Ok(Some(Framing::None)),
                length => Ok(Some(Framing::Length(length))),
            },
            (None, None) => Ok(None),
        }
    }
}

/// Parses a length that consists of digits only: Rust would also accept `+5`, which another recipient may reject.
pub(in crate::proxy) fn length(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The names that have occurred, approximately. Repeated values of inline headers have to be joined, but most names
/// occur once, and do not have to be searched for.
#[derive(Default)]
pub(super) struct SeenNames {
    bits: u64,
}

// === impl SeenNames ===

impl SeenNames {
    /// Adds a field to a map.
    pub(super) fn append(
        &mut self,
        fields: &mut Fields,
        name: &ParsedName,
        map: FieldMap,
        value: HeaderValue,
    ) {
        let bytes = name.name().as_str().as_bytes();
        let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
        let bit = (bytes.len() ^ end(bytes.first()) << 1 ^ end(bytes.last())) % 64;
        let may_have_occurred = self.bits & (1 << bit) != 0;
        self.bits |= 1 << bit;
        let joins = may_have_occurred && name.is_inline(map);
        fields.append_or_join(name.name(), joins, value);
    }
}
