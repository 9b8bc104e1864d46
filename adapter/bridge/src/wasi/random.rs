//! `wasi:random`: the host's random number generator, which also serves the insecure interfaces.

use crate::abi::{self, trap};
use crate::memory::{List, RetPtr, allocate};
use crate::state::state;

/// The maximum number of bytes that the host returns at once.
const PIECE: usize = 1 << 16;

/// Fills memory with random bytes. Returns whether it succeeded.
pub(crate) fn fill(start: *mut u8, len: usize) -> bool {
    let mut filled = 0;
    while filled < len {
        let piece = PIECE.min(len - filled);
        // SAFETY: the caller owns `len` bytes from `start` on.
        if unsafe { abi::random_get(start.add(filled), piece) } != 0 {
            return false;
        }
        filled += piece;
    }
    true
}

/// Traps if the host has no randomness: the function's type cannot express a failure, and predictable bytes would be
/// worse.
fn random_bytes(len: u64, ret: *mut u8) {
    let Ok(len) = usize::try_from(len) else {
        trap()
    };
    let start = allocate(1, len);
    if !fill(start, len) {
        trap()
    }
    // SAFETY: the caller provides space for a `list<u8>`.
    unsafe { RetPtr::new(ret) }.list(0, List { start, len });
}

fn random_u64() -> u64 {
    let state = state();
    if !fill(state.time.as_ptr().cast(), 8) {
        trap()
    }
    state.time.get()
}

#[unsafe(export_name = "wasi:random/random#get-random-bytes")]
extern "C" fn get_random_bytes(len: u64, ret: *mut u8) {
    random_bytes(len, ret);
}

#[unsafe(export_name = "wasi:random/random#get-random-u64")]
extern "C" fn get_random_u64() -> u64 {
    random_u64()
}

#[unsafe(export_name = "wasi:random/insecure#get-insecure-random-bytes")]
extern "C" fn get_insecure_random_bytes(len: u64, ret: *mut u8) {
    random_bytes(len, ret);
}

#[unsafe(export_name = "wasi:random/insecure#get-insecure-random-u64")]
extern "C" fn get_insecure_random_u64() -> u64 {
    random_u64()
}

#[unsafe(export_name = "wasi:random/insecure-seed#insecure-seed")]
extern "C" fn insecure_seed(ret: *mut u8) {
    // The caller provides space for a `tuple<u64, u64>`.
    if !fill(ret, 16) {
        trap()
    }
}
