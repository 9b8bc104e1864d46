//! The semantics of the hostcalls, implemented once. There is one file for each WIT interface that a plugin imports,
//! with the name of the interface.
//!
//! The functions operate on streams and fields. They use neither wasmtime nor linear memory: the engines convert
//! arguments and results. An engine adds what its ABI has beyond the contract, and documents it.

use std::cell::{Ref, RefMut};

use crate::context::StreamContext;
use crate::state::State;

pub mod clock;
pub mod foreign_functions;
pub mod http_bodies;
pub mod http_calls;
pub mod http_fields;
pub mod http_streams;
pub mod local_responses;
pub mod logging;
pub mod metrics;
pub mod plugin_lifecycle;
pub mod plugin_properties;
pub mod properties;
pub mod shared_data;
pub mod shared_queues;
pub mod stream_control;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod vm_configuration;

/// The error of a rejected hostcall: the cases of the contract's `error` that this host uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Closed,
    NotAvailable,
    NotFound,
    InvalidArgument,
    TooLarge,
    CasMismatch,
    Empty,
    Malformed,
    Internal,
}

/// The maximum number of fields in one call.
pub const MAX_CALL_FIELDS: usize = 1024;

/// The maximum size of the fields in one call, in bytes of Proxy-Wasm's serialization.
pub const MAX_CALL_FIELD_BYTES: usize = 1 << 20;

/// The maximum number of fields that a message can reach through calls that add one. `http::HeaderMap` panics above six
/// times this number.
pub const MAX_MAP_FIELDS: usize = 4096;

/// The maximum size in bytes that a body can reach through a plugin's calls. It does not apply to data that streams
/// through or is paused; paused data is limited by the stream's buffer limit.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Borrows the state of a stream to read it. Fails if the stream has ended.
#[inline]
pub fn read_state(stream: &StreamContext) -> Result<Ref<'_, State>, Error> {
    let state = stream.shared.state.try_borrow();
    let state = state.map_err(|_| Error::Internal)?;
    match state.ended {
        true => Err(Error::Closed),
        false => Ok(state),
    }
}

/// Borrows the state of a stream to change it. Fails if the stream has ended.
#[inline]
pub fn borrow_state(stream: &StreamContext) -> Result<RefMut<'_, State>, Error> {
    let state = stream.shared.state.try_borrow_mut();
    let state = state.map_err(|_| Error::Internal)?;
    match state.ended {
        true => Err(Error::Closed),
        false => Ok(state),
    }
}

/// Checks the number and the total size of the fields in one call. Each size is that of a name with its value.
pub fn check_sizes(mut sizes: impl ExactSizeIterator<Item = usize>) -> Result<(), Error> {
    if sizes.len() > MAX_CALL_FIELDS {
        return Err(Error::TooLarge);
    }
    // Four bytes for the number of fields; for each field, eight for two lengths and two for terminating zeros.
    let total = sizes.try_fold(4usize, |total, size| {
        total.checked_add(size)?.checked_add(10)
    });
    match total {
        Some(total) if total <= MAX_CALL_FIELD_BYTES => Ok(()),
        _ => Err(Error::TooLarge),
    }
}
