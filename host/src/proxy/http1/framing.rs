//! Determines from the fields of a head how the body ends, and collects fields as Envoy does.

use http::StatusCode;
use http::header::HeaderValue;
use tidegate_semantics::fields::{Fields, ParsedName};
use tidegate_semantics::vocabulary::FieldMap;

use super::{Framing, HeadError};

/// The fields that frame a body, as they have been received.
#[derive(Debug, Default)]
pub(super) struct Received {
    length: Option<Result<u64, HeadError>>,
    coding: Option<Coding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

// === impl Received ===

impl Received {
    /// Records a `content-length`. Only one is allowed, even if another one has the same value.
    pub(super) fn length(&mut self, value: &HeaderValue) {
        self.length = Some(match self.length {
            Some(_) => Err(HeadError::Malformed("`content-length` occurs twice")),
            None => length(value.as_bytes())
                .ok_or(HeadError::Malformed("`content-length` is not a number")),
        });
    }

    /// Records a `transfer-encoding`. Only a single `chunked` is supported.
    pub(super) fn coding(&mut self, value: &HeaderValue) {
        let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        self.coding = Some(match (self.coding, is_chunked) {
            (None, true) => Coding::Chunked,
            _ => Coding::Other,
        });
    }

    /// Returns how the body of a request ends.
    pub(super) fn of_request(&self, is_connect: bool) -> Result<Framing, HeadError> {
        match self.framing()? {
            Some(_) if is_connect && self.length.is_some() => {
                Err(HeadError::Malformed("`CONNECT` has a `content-length`"))
            }
            Some(Framing::Chunked) if is_connect => Err(HeadError::UnknownCoding),
            Some(framing) => Ok(framing),
            None => Ok(Framing::None),
        }
    }

    /// Returns how the body of a response ends.
    pub(super) fn of_response(
        &self,
        status: StatusCode,
        is_head_request: bool,
    ) -> Result<Framing, HeadError> {
        let framing = self.framing()?;
        // RFC 9112, section 6.1 and 6.3. Envoy rejects only what announces a body.
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            let announces_body = self.coding.is_some()
                || (status == StatusCode::NO_CONTENT
                    && matches!(framing, Some(Framing::Length(_))));
            if announces_body {
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
