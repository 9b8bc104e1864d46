//! Text without data segments: literals as numbers, and the check that a string is UTF-8.

use crate::abi::trap;

/// Traps if `text` is not UTF-8, as a component runtime does when it lifts a `string`.
#[inline(never)]
pub(crate) fn check(text: &[u8]) {
    // Most strings are short and ASCII; `core`'s check for that is optimised for long ones.
    let bits = text.iter().fold(0, |bits, byte| bits | byte);
    if bits >= 128 && !is_utf8(text) {
        trap()
    }
}

/// Whether `text` is UTF-8. `core`'s own check reads a table, which would be a data segment.
#[cold]
#[inline(never)]
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    let (mut following, mut code, mut least) = (0, 0, 0);
    for byte in text {
        let (ones, bits) = (byte.leading_ones(), u32::from(*byte));
        match (following, ones) {
            // The first byte determines how many follow. A code point must be encoded in its shortest form.
            (0, 0 | 2..=4) => {
                following = ones.saturating_sub(1);
                code = bits & (0x7f >> ones);
                least = match ones {
                    0 => 0,
                    2 => 1 << 7,
                    _ => 1 << (5 * ones - 4),
                };
            }
            (1.., 1) => {
                following -= 1;
                code = code << 6 | bits & 0x3f;
            }
            _ => return false,
        }
        if following == 0 && (code < least || char::from_u32(code).is_none()) {
            return false;
        }
    }
    following == 0
}

/// Returns eight bytes of `text` from `at` on, with zeroes after its end. Text that is stored by instructions needs no
/// data segment.
pub(crate) const fn word(text: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let mut index = 0;
    while index < 8 && at + index < text.len() {
        word[index] = text[at + index];
        index += 1;
    }
    u64::from_le_bytes(word)
}
