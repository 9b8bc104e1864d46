//! `logging`: messages that the plugin logs itself. What its runtime prints is handled in `output`.

use crate::abi;
use crate::memory::{discriminant, string};

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
