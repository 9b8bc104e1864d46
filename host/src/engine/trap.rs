//! The message that is logged when an instance traps: the failed call, the reason and the backtrace.

use std::fmt::Write;
use std::time::Duration;

use wasmtime::WasmBacktrace;

use crate::engine::Trap;

/// The maximum number of backtrace lines: as many as Envoy shows frames.
const MAX_FRAMES: usize = 20;

/// Creates the trap for a failure of the guest code that `call` ran. `limit` is the time that it was allowed to take.
#[cold]
pub(crate) fn from_error(call: &str, error: &wasmtime::Error, limit: Duration) -> Trap {
    let mut message = format!("`{call}` failed: ");
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => {
            _ = write!(message, "it took longer than its limit of {limit:?}");
        }
        Some(trap) => _ = write!(message, "{trap}"),
        None => _ = write!(message, "{}", error.root_cause()),
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        // The first line is a heading.
        for line in backtrace.to_string().lines().skip(1).take(MAX_FRAMES) {
            _ = write!(message, "\n{line}");
        }
    }
    Trap { message }
}
