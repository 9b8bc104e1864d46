//! What may stand in a field's name and value, checked before the host is asked: hosts differ in what they let pass,
//! and some take a bad value and break the message.

use crate::types::Error;

/// The longest name there may be.
const MAX_NAME: usize = 65_535;

/// Whether a field of this name and value may be stored.
pub(crate) fn check_field(name: &[u8], value: &[u8]) -> Result<(), Error> {
    check_name(name)?;
    if is_value(value) {
        Ok(())
    } else {
        Err(Error::InvalidArgument)
    }
}

/// Whether a field may have this name: a token of HTTP, or a pseudo-header.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    let good = match name.first() {
        None => false,
        Some(b':') => is_pseudo(name),
        Some(_) => name.len() <= MAX_NAME && name.iter().all(|byte| is_token(*byte)),
    };
    if good {
        Ok(())
    } else {
        Err(Error::InvalidArgument)
    }
}

/// Whether `name` is one of the pseudo-headers of the contract.
///
/// Names are compared as numbers, since a literal that is compared byte by byte is a data segment.
pub(crate) fn is_pseudo(name: &[u8]) -> bool {
    const METHOD: u128 = number(b":method");
    const PATH: u128 = number(b":path");
    const SCHEME: u128 = number(b":scheme");
    const STATUS: u128 = number(b":status");
    name.len() <= 16 && matches!(number(name), METHOD | PATH | AUTHORITY | SCHEME | STATUS)
}

/// Whether `name` is `host`, by which Envoy lets a request's `:authority` be called, too.
pub(crate) fn is_host(name: &[u8]) -> bool {
    // Setting this bit makes a small letter of a capital, and one of these four of no other byte.
    name.len() == 4 && number(name) | 0x2020_2020 == const { number(b"host") }
}

/// Whether `name` is `:authority`.
pub(crate) fn is_authority(name: &[u8]) -> bool {
    name.len() == 10 && number(name) == AUTHORITY
}

const AUTHORITY: u128 = number(b":authority");

/// At most 16 bytes, of which the first is not zero, as a number.
const fn number(mut text: &[u8]) -> u128 {
    let mut number = 0;
    while let [first, rest @ ..] = text {
        number = number << 8 | *first as u128;
        text = rest;
    }
    number
}

/// Whether `byte` may stand in a token of HTTP (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    const TOKEN: u128 = token_set();
    const LOW: u64 = TOKEN as u64;
    const HIGH: u64 = (TOKEN >> 64) as u64;
    let half = if byte & 64 == 0 { LOW } else { HIGH };
    byte < 128 && (half >> (byte & 63)) & 1 == 1
}

const fn token_set() -> u128 {
    let mut set = 0;
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            set |= 1 << byte;
        }
        byte += 1;
    }
    set
}

/// Whether all bytes may stand in a field's value: none below 0x20 but tab, not 0x7f.
///
/// Eight bytes at a time as long as none of them is suspicious, since values are the longest part of a field.
fn is_value(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks::<8>();
    words.iter().all(|word| {
        !is_suspicious(u64::from_le_bytes(*word)) || word.iter().all(|byte| is_value_byte(*byte))
    }) && rest.iter().all(|byte| is_value_byte(*byte))
}

fn is_value_byte(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

/// Whether one of eight bytes is below 0x20 or is 0x7f.
fn is_suspicious(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES * 0x80;
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let flipped = word ^ (ONES * 0x7f);
    let deleted = flipped.wrapping_sub(ONES) & !flipped;
    (below | deleted) & TOPS != 0
}
