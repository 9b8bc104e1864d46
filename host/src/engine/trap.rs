//! What a plugin's log says when its instance dies: which call, why, and through which functions.

use std::fmt::Write;
use std::time::Duration;

use wasmtime::WasmBacktrace;

use crate::engine::Trap;

/// As many lines as Envoy shows frames.
const FRAMES: usize = 20;

impl Trap {
    /// Guest code that `call` ran has failed. `limit` is how long it might take.
    pub(crate) fn of(call: &str, error: &wasmtime::Error, limit: Duration) -> Self {
        let mut message = format!("`{call}` failed: ");
        match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::Interrupt) => {
                _ = write!(message, "it took longer than its limit of {limit:?}");
            }
            Some(trap) => _ = write!(message, "{trap}"),
            None => _ = write!(message, "{}", error.root_cause()),
        }
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            // The first line says what the others are.
            for line in backtrace.to_string().lines().skip(1).take(FRAMES) {
                _ = write!(message, "\n{line}");
            }
        }
        Self { message }
    }
}
