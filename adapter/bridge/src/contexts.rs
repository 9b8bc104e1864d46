//! Selects the stream that hostcalls apply to, and records which callback is running.

use crate::abi;
use crate::running::{Phase, RunningCallback};
use crate::state::State;
use crate::streams::ANSWERING;
use crate::types::Error;

/// Records that a callback begins.
#[inline(always)]
pub(crate) fn begin(state: &State, context: u32, stream: u32, phase: Phase) {
    state.running.set(RunningCallback {
        context,
        stream,
        body_size: 0,
        phase,
        resumed: false,
        stopped: false,
        padding: 0,
    });
}

/// Selects the stream that the next hostcalls apply to. `leave` must be called after them.
///
/// The running callback's own stream is already selected. Any other stream costs a hostcall here and one in `leave`.
#[inline(always)]
pub(crate) fn enter(state: &State, stream: u32) -> Result<(), Error> {
    if stream == state.running.get().stream && stream != 0 {
        return Ok(());
    }
    enter_another(state, stream)
}

#[inline(never)]
fn enter_another(state: &State, stream: u32) -> Result<(), Error> {
    if state.streams.find(stream).is_none() {
        return Err(Error::Closed);
    }
    match abi::proxy_set_effective_context(stream) {
        abi::OK => Ok(()),
        // The deployment's capability restriction does not list this hostcall.
        abi::INTERNAL_FAILURE => Err(Error::NotPermitted),
        _ => Err(Error::Closed),
    }
}

/// Selects the running callback's own context again.
#[inline(always)]
pub(crate) fn leave(state: &State, stream: u32) {
    let running = state.running.get();
    if stream != running.stream {
        abi::proxy_set_effective_context(running.context);
    }
}

/// Records that an event ends. What it changed takes effect when the host gets control again.
///
/// If the event has answered several streams, the others remain marked until their next callback.
#[inline(always)]
pub(crate) fn end_event(state: &State) {
    if let Some(stream) = state.streams.find(state.answering.replace(0)) {
        stream.clear(ANSWERING);
    }
}

/// Marks `stream` as closed for the running callback, if it is that callback's stream.
#[inline(always)]
pub(crate) fn close(state: &State, stream: u32) {
    state.update_running(|running| {
        if running.stream == stream {
            running.stream = 0;
        }
    });
}
