//! `logging`: lines that the plugin writes itself. What its runtime prints is in `output`.

use crate::abi;
use crate::memory::trap;

/// The last of the levels, `critical`.
const LAST_LEVEL: u32 = 5;

/// The levels have the host's numbers.
#[unsafe(export_name = "logging#log")]
extern "C" fn log(level: u32, message: *const u8, message_len: usize) {
    if level > LAST_LEVEL {
        trap()
    }
    // SAFETY: the message is the guest's for the length of the call, and the host checks that it lies in memory.
    unsafe { abi::proxy_log(level, message, message_len) };
}
