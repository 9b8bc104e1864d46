//! `local-responses`: answering a request without the upstream.

use crate::abi;
use crate::contexts;
use crate::memory::{RetPtr, bytes, discriminant, string};
use crate::pairs::{self, Entry, Names};
use crate::running::Phase;
use crate::state::state;
use crate::streams::{ANSWERED, ANSWERING, PAUSED};
use crate::types::{self, Error};

/// The value with which the host means "no gRPC status".
const NO_GRPC_STATUS: i32 = -1;

/// A `local-response`, flattened.
struct LocalResponse<'a> {
    status: u16,
    headers: &'a [Entry],
    body: &'a [u8],
    grpc_status: Option<u32>,
    details: &'a [u8],
}

#[unsafe(export_name = "local-responses#send")]
extern "C" fn send(
    to: u32,
    status: u32,
    headers: *const Entry,
    headers_len: usize,
    body: *const u8,
    body_len: usize,
    has_grpc_status: u32,
    grpc_status: u32,
    details: *const u8,
    details_len: usize,
    ret: *mut u8,
) {
    // SAFETY: strings and lists belong to the guest and are valid for the duration of the call.
    let response = unsafe {
        LocalResponse {
            status: status as u16,
            headers: pairs::lift(headers, headers_len),
            body: bytes(body, body_len),
            grpc_status: (discriminant(has_grpc_status, 2) != 0).then_some(grpc_status),
            details: string(details, details_len),
        }
    };
    // SAFETY: the caller provides space for a `result<_, error>`.
    types::store(unsafe { RetPtr::new(ret) }, answer(to, &response));
}

#[inline(always)]
fn answer(to: u32, response: &LocalResponse<'_>) -> Result<(), Error> {
    let state = state();
    let Some(stream) = state.streams.find(to) else {
        return Err(Error::Closed);
    };
    // Envoy resets the stream if there has already been a response. When any stream is answered, Envoy also stops the
    // stream whose callback is running, so a stream whose callback answers another stream would hang forever. During an
    // event, no stream's callback is running for Envoy. In `on-log`, the stream has been answered.
    let running = state.running.get();
    let is_own = to == running.stream;
    if stream.has(ANSWERED) || !is_own && running.phase != Phase::Event {
        return Err(Error::NotAvailable);
    }
    let grpc_status = match response.grpc_status {
        None => NO_GRPC_STATUS,
        Some(code @ 0..=16) => code as i32,
        Some(_) => return Err(Error::InvalidArgument),
    };
    if !(200..=599).contains(&response.status) {
        return Err(Error::InvalidArgument);
    }
    let headers = pairs::write(state, response.headers, Names::Fields)?;
    contexts::enter(state, to)?;
    // SAFETY: all of it stays where it is while the host reads it.
    let status = unsafe {
        abi::proxy_send_local_response(
            response.status.into(),
            response.details.as_ptr(),
            response.details.len(),
            response.body.as_ptr(),
            response.body.len(),
            headers.start,
            headers.len,
            grpc_status,
        )
    };
    contexts::leave(state, to);
    types::outcome(status)?;
    if let Some(stream) = state.streams.find(to) {
        stream.mark(ANSWERED);
        if !is_own {
            stream.mark(ANSWERING);
            state.answering.set(to);
        }
        // Envoy would continue a stream that the response has ended.
        stream.clear(PAUSED | PAUSED << 1);
    }
    state.update_running(|running| running.stopped |= is_own);
    Ok(())
}
