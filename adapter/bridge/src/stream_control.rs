//! `stream-control`: resuming a paused half of a stream, and resetting a stream.
//!
//! Envoy would continue a stream before it sees that the running callback pauses it, and the stream would then hang. If
//! a callback resumes its own half, the host is therefore not asked to continue it. The callback returns `continue`
//! instead.

use crate::abi;
use crate::contexts;
use crate::memory::{RetPtr, discriminant};
use crate::state::state;
use crate::streams::{ANSWERED, ANSWERING, ENDED, PAUSED, RESET};
use crate::types::{self, Error};

#[unsafe(export_name = "stream-control#resume")]
extern "C" fn resume(http: u32, half: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`.
    types::store(
        unsafe { RetPtr::new(ret) },
        continue_half(http, discriminant(half, 2)),
    );
}

fn continue_half(http: u32, half: u32) -> Result<(), Error> {
    let state = state();
    let Some(stream) = state.streams.find(http) else {
        return Err(Error::Closed);
    };
    let running = state.running.get();
    if http == running.stream && running.phase.is_of(half) {
        state.update_running(|running| running.resumed = true);
        return Ok(());
    }
    if stream.has(ENDED) || !stream.has(PAUSED << half) {
        return Ok(());
    }
    contexts::enter(state, http)?;
    let status = abi::proxy_continue_stream(half);
    contexts::leave(state, http);
    types::outcome(status)?;
    if let Some(stream) = state.streams.find(http) {
        stream.clear(PAUSED << half);
        if half == 1 {
            stream.mark(ANSWERED);
        }
    }
    Ok(())
}

#[unsafe(export_name = "stream-control#reset")]
extern "C" fn reset(http: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`.
    types::store(unsafe { RetPtr::new(ret) }, break_off(http));
}

fn break_off(http: u32) -> Result<(), Error> {
    let state = state();
    let Some(stream) = state.streams.find(http) else {
        return Err(Error::Closed);
    };
    if stream.has(ENDED) {
        return Err(Error::NotAvailable);
    }
    let running = state.running.get();
    // Envoy would destroy the stream a second time. A local response from the same callback or event also ends it.
    if stream.has(RESET | ANSWERING) || http == running.stream && running.stopped {
        return Ok(());
    }
    contexts::enter(state, http)?;
    let status = abi::proxy_close_stream(0);
    contexts::leave(state, http);
    types::outcome(status)?;
    if let Some(stream) = state.streams.find(http) {
        stream.clear(PAUSED | PAUSED << 1);
        stream.mark(ANSWERED | RESET);
    }
    state.update_running(|running| running.stopped |= http == running.stream);
    Ok(())
}
