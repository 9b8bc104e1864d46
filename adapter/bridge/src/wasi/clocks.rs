//! `wasi:clocks`: the host's clocks. Nothing can sleep in a proxy, so every timer has already expired.

use super::io::POLLABLE;
use crate::abi;
use crate::memory::RetPtr;
use crate::state::state;

/// The host's number of the realtime clock.
pub(crate) const REALTIME: u32 = 0;
/// The host's number of the monotonic clock.
const MONOTONIC: u32 = 1;
const NANOSECONDS: u64 = 1_000_000_000;

/// Returns the time in nanoseconds, or 0 if the deployment does not allow the plugin to read the clock.
pub(crate) fn time(clock: u32) -> u64 {
    let state = state();
    state.time.set(0);
    // SAFETY: the address is a cell of the state.
    unsafe { abi::clock_time_get(clock, 1, state.time.as_ptr()) };
    state.time.get()
}

#[unsafe(export_name = "wasi:clocks/monotonic-clock#now")]
extern "C" fn monotonic_now() -> u64 {
    time(MONOTONIC)
}

#[unsafe(export_name = "wasi:clocks/monotonic-clock#resolution")]
extern "C" fn monotonic_resolution() -> u64 {
    1
}

#[unsafe(export_name = "wasi:clocks/monotonic-clock#subscribe-instant")]
extern "C" fn subscribe_instant(_: u64) -> u32 {
    POLLABLE
}

#[unsafe(export_name = "wasi:clocks/monotonic-clock#subscribe-duration")]
extern "C" fn subscribe_duration(_: u64) -> u32 {
    POLLABLE
}

#[unsafe(export_name = "wasi:clocks/wall-clock#now")]
extern "C" fn wall_now(ret: *mut u8) {
    store(ret, time(REALTIME));
}

#[unsafe(export_name = "wasi:clocks/wall-clock#resolution")]
extern "C" fn wall_resolution(ret: *mut u8) {
    store(ret, 1);
}

fn store(ret: *mut u8, time: u64) {
    // SAFETY: the caller provides space for a `datetime`.
    let ret = unsafe { RetPtr::new(ret) };
    ret.long(0, time / NANOSECONDS);
    ret.word(8, (time % NANOSECONDS) as u32);
}
