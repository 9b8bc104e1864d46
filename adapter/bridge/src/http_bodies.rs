//! `http-bodies`: the bytes of a body, which are accessible only inside that body's callback.
//!
//! The size is known from the callback and is updated with every change, so `size` needs no hostcall.

use crate::abi::{self, BUFFER_REQUEST_BODY, trap};
use crate::memory::{RetPtr, bytes};
use crate::running::Phase;
use crate::state::{State, state};
use crate::types::{self, Error};

/// An offset past the end of any body. What is stored there is appended.
const END: u32 = u32::MAX;

/// Checks that the running callback is that of the body.
fn check(state: &State, http: u32, body: u32) -> Result<(), Error> {
    let phase = match body {
        0 => Phase::RequestBody,
        1 => Phase::ResponseBody,
        // `direction` has two cases.
        _ => trap(),
    };
    let running = state.running.get();
    if http == running.stream && running.phase == phase {
        Ok(())
    } else if state.streams.find(http).is_some() {
        Err(Error::NotAvailable)
    } else {
        Err(Error::Closed)
    }
}

#[unsafe(export_name = "http-bodies#size")]
extern "C" fn size(http: u32, body: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<u32, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    let state = state();
    match check(state, http, body) {
        Err(error) => types::store_error(ret, 4, error),
        Ok(()) => {
            ret.byte(0, 0);
            ret.word(4, state.running.get().body_size);
        }
    }
}

#[unsafe(export_name = "http-bodies#read")]
extern "C" fn read(http: u32, body: u32, offset: u32, max: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<list<u8>, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    let state = state();
    types::store_received(ret, state, copy_out(state, http, body, offset, max));
}

fn copy_out(state: &State, http: u32, body: u32, offset: u32, max: u32) -> Result<(), Error> {
    check(state, http, body)?;
    let max = max.min(state.running.get().body_size.saturating_sub(offset));
    if max == 0 {
        state.size.set(0);
        return Ok(());
    }
    // SAFETY: both addresses point to cells of the state.
    types::outcome(unsafe {
        abi::proxy_get_buffer_bytes(
            buffer(body),
            offset,
            max,
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    })
}

#[unsafe(export_name = "http-bodies#replace")]
extern "C" fn replace(http: u32, body: u32, data: *const u8, data_len: usize, ret: *mut u8) {
    let size = state().running.get().body_size;
    store(http, body, 0, size, data, data_len, ret);
}

#[unsafe(export_name = "http-bodies#append")]
extern "C" fn append(http: u32, body: u32, data: *const u8, data_len: usize, ret: *mut u8) {
    store(http, body, END, 0, data, data_len, ret);
}

#[unsafe(export_name = "http-bodies#prepend")]
extern "C" fn prepend(http: u32, body: u32, data: *const u8, data_len: usize, ret: *mut u8) {
    store(http, body, 0, 0, data, data_len, ret);
}

/// Replaces `removed` bytes at `start`.
fn store(
    http: u32,
    body: u32,
    start: u32,
    removed: u32,
    data: *const u8,
    data_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`, and the bytes are valid for the duration of the call.
    let (ret, data) = unsafe { (RetPtr::new(ret), bytes(data, data_len)) };
    let state = state();
    let outcome = check(state, http, body).and_then(|()| {
        // SAFETY: the bytes stay where they are while the host reads them.
        types::outcome(unsafe {
            abi::proxy_set_buffer_bytes(buffer(body), start, removed, data.as_ptr(), data.len())
        })?;
        let size = state.running.get().body_size.wrapping_sub(removed);
        state.update_running(|running| running.body_size = size.wrapping_add(data.len() as u32));
        Ok(())
    });
    types::store(ret, outcome);
}

#[inline(always)]
fn buffer(body: u32) -> u32 {
    BUFFER_REQUEST_BODY + body
}
