//! `logging`: messages that the plugin logs itself. What its runtime prints is handled in `output`.

use crate::abi;
use crate::memory::{discriminant, string};
use crate::state::state;

/// The number of levels.
const LEVELS: u32 = 6;

/// The cases of `level` have the host's numbers.
#[unsafe(export_name = "logging#log")]
extern "C" fn log(level: u32, message: *const u8, message_len: usize) {
    let level = discriminant(level, LEVELS);
    // SAFETY: the message belongs to the guest and stays where it is for the duration of the call.
    unsafe {
        let message = string(message, message_len);
        abi::proxy_log(level, message.as_ptr(), message.len());
    }
}

/// The host has a further level, with which it logs nothing. It is not part of the contract, and then, or if the host
/// does not tell its level, the result is `trace`.
#[unsafe(export_name = "logging#lowest")]
extern "C" fn lowest() -> u32 {
    let level = &state().data;
    // SAFETY: the address points to a cell of the state.
    let status = unsafe { abi::proxy_get_log_level(level.as_ptr()) };
    if status == abi::OK && level.get() < LEVELS {
        level.get()
    } else {
        0
    }
}
