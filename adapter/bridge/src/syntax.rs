//! Checks the names and values of fields before they are passed to the host. Hosts differ in what they accept, and some
//! accept an invalid value and produce a broken message.

use crate::types::Error;

/// The maximum length of a name.
const MAX_NAME: usize = 65_535;

/// Checks that a field with this name and value may be stored.
#[inline(always)]
pub(crate) fn check_field(name: &[u8], value: &[u8]) -> Result<(), Error> {
    check_name(name)?;
    if is_good(value, Kind::Value) {
        Ok(())
    } else {
        Err(Error::InvalidArgument)
    }
}

/// Checks that a field may have this name: an HTTP token, or a pseudo-header.
#[inline(always)]
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    let good = match name.first() {
        None => false,
        Some(b':') => is_pseudo(name),
        Some(_) => name.len() <= MAX_NAME && is_good(name, Kind::Name),
    };
    if good {
        Ok(())
    } else {
        Err(Error::InvalidArgument)
    }
}

/// Whether `name` is one of the pseudo-headers of the contract.
///
/// Names are compared as numbers, because a literal that is compared byte by byte is a data segment.
pub(crate) fn is_pseudo(name: &[u8]) -> bool {
    const METHOD: u128 = number(b":method");
    const PATH: u128 = number(b":path");
    const SCHEME: u128 = number(b":scheme");
    const STATUS: u128 = number(b":status");
    name.len() <= 16 && matches!(number(name), METHOD | PATH | AUTHORITY | SCHEME | STATUS)
}

/// Whether `name` is `host`, which Envoy accepts as another name of a request's `:authority`.
pub(crate) fn is_host(name: &[u8]) -> bool {
    // Setting this bit turns an upper-case letter into lower case, and turns no other byte into one of these four
    // letters.
    name.len() == 4 && number(name) | 0x2020_2020 == const { number(b"host") }
}

/// Whether `name` is `:authority`.
pub(crate) fn is_authority(name: &[u8]) -> bool {
    name.len() == 10 && number(name) == AUTHORITY
}

const AUTHORITY: u128 = number(b":authority");

/// What a header means in a request that a plugin sends.
pub(crate) enum RequestHeader {
    Method,
    Path,
    Authority,
    Scheme,
    /// Not allowed: it belongs to responses, or the host sets it itself.
    Reserved,
    Other,
}

/// Classifies a header by its name, which is a valid one. The case of letters is ignored.
pub(crate) fn request_header(name: &[u8]) -> RequestHeader {
    const METHOD: u128 = lower(b":method");
    const PATH: u128 = lower(b":path");
    const AUTHORITY: u128 = lower(b":authority");
    const SCHEME: u128 = lower(b":scheme");
    const STATUS: u128 = lower(b":status");
    const CONNECTION: u128 = lower(b"connection");
    const CONTENT_LENGTH: u128 = lower(b"content-length");
    const HOST: u128 = lower(b"host");
    const UPGRADE: u128 = lower(b"upgrade");
    // `transfer-encoding` is one byte longer than a number.
    const AFTER_T: u128 = lower(b"ransfer-encoding");
    match name {
        [b't' | b'T', rest @ ..] if rest.len() == 16 && lower(rest) == AFTER_T => {
            RequestHeader::Reserved
        }
        _ if name.len() > 16 => RequestHeader::Other,
        _ => match lower(name) {
            METHOD => RequestHeader::Method,
            PATH => RequestHeader::Path,
            AUTHORITY => RequestHeader::Authority,
            SCHEME => RequestHeader::Scheme,
            STATUS | CONNECTION | CONTENT_LENGTH | HOST | UPGRADE => RequestHeader::Reserved,
            _ => RequestHeader::Other,
        },
    }
}

/// Whether a request that a plugin sends may have this method: any token except `CONNECT`.
pub(crate) fn is_request_method(method: &[u8]) -> bool {
    let is_connect = method.len() == 7 && number(method) == const { number(b"CONNECT") };
    !method.is_empty() && !is_connect && is_good(method, Kind::Name)
}

/// Whether a request that a plugin sends may have this path: a `/` and characters that RFC 3986 allows in paths and
/// queries.
pub(crate) fn is_request_path(path: &[u8]) -> bool {
    path.first() == Some(&b'/') && path.iter().all(|byte| is_in(URI, *byte))
}

/// Returns at most 16 bytes as a number, with letters in lower case.
///
/// Setting the bit turns upper case into lower case. It changes no other character of a name, because no valid name
/// contains a control character, and it is already set in hyphens, colons and digits.
const fn lower(name: &[u8]) -> u128 {
    number(name) | const { number(&[0x20; 16]) }
}

/// Returns at most 16 bytes, of which the first is not zero, as a number.
pub(crate) const fn number(mut text: &[u8]) -> u128 {
    let mut number = 0;
    while let [first, rest @ ..] = text {
        number = number << 8 | *first as u128;
        text = rest;
    }
    number
}

/// The characters of an HTTP token (RFC 9110, section 5.6.2).
const TOKEN: u128 = set(b"!#$%&'*+-.^_`|~");

/// The characters that RFC 3986 allows in a URI, except `#`, which begins a fragment.
const URI: u128 = set(b"-._~:/?[]@!$&'()*+,;=%");

/// Returns the set of ASCII letters and digits and of `others`, with one bit for each character.
const fn set(others: &[u8]) -> u128 {
    let mut set = 0;
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            set |= 1 << byte;
        }
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        set |= 1 << others[at];
        at += 1;
    }
    set
}

/// Whether `byte` is in a set of characters, which is a constant.
#[inline(always)]
fn is_in(set: u128, byte: u8) -> bool {
    let half = if byte & 64 == 0 {
        set as u64
    } else {
        (set >> 64) as u64
    };
    byte < 128 && (half >> (byte & 63)) & 1 == 1
}

/// What a text is checked as.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Value,
}

/// Whether every byte is allowed. Eight bytes are checked at a time as long as all of them are common ones; otherwise
/// every byte is checked. One function serves both kinds, because every plugin includes it.
#[inline(never)]
fn is_good(text: &[u8], kind: Kind) -> bool {
    let mut at = 0;
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let good = match kind {
            Kind::Name => is_plain(word),
            Kind::Value => !is_suspicious(word),
        };
        if !good {
            break;
        }
        if at + 8 == text.len() {
            return true;
        }
        // The last eight bytes overlap the others, so that they include the remainder.
        at = (at + 8).min(text.len() - 8);
    }
    text.iter().all(|byte| match kind {
        Kind::Name => is_in(TOKEN, *byte),
        Kind::Value => is_value_byte(*byte),
    })
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = ONES * 0x80;

/// Whether eight bytes are lower-case letters, digits and hyphens.
const fn is_plain(word: u64) -> bool {
    // Each sum sets the top bit of the bytes from a certain character on. No byte below 128 carries into the next.
    let letter = word.wrapping_add(ONES * (128 - b'a' as u64))
        & !word.wrapping_add(ONES * (127 - b'z' as u64));
    let digit = word.wrapping_add(ONES * (128 - b'0' as u64))
        & !word.wrapping_add(ONES * (127 - b'9' as u64));
    let hyphen = !(word ^ (ONES * b'-' as u64)).wrapping_add(ONES * 127);
    (letter | digit | hyphen) & !word & TOPS == TOPS
}

/// Proves at compile time that plain bytes are characters of a token, and that each byte is checked.
const _: () = {
    let mut byte = 0_u8;
    while byte < 255 {
        let mut place = 0;
        while place < 8 {
            let others = (ONES * b'x' as u64) & !(0xff << (8 * place));
            let plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            assert!(is_plain(others | (byte as u64) << (8 * place)) == plain);
            place += 1;
        }
        byte += 1;
    }
};

/// Whether a byte may appear in a field's value: not 0x7f, and nothing below 0x20 except tab.
fn is_value_byte(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

/// Whether one of eight bytes is below 0x20 or is 0x7f.
fn is_suspicious(word: u64) -> bool {
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let flipped = word ^ (ONES * 0x7f);
    let deleted = flipped.wrapping_sub(ONES) & !flipped;
    (below | deleted) & TOPS != 0
}
