//! What each hostcall means, written once: one file for each WIT interface that a plugin imports, with the same stem.
//!
//! The functions here know streams and fields, and neither wasmtime nor linear memory: the engines bring arguments in and
//! results out. An engine adds what its ABI has beyond the contract, and says so there.

use std::cell::RefMut;

use crate::context::StreamContext;
use crate::state::State;

pub(crate) mod clock;
pub(crate) mod http_bodies;
pub(crate) mod http_fields;
pub(crate) mod http_streams;
pub(crate) mod local_responses;
pub(crate) mod logging;
pub(crate) mod properties;
pub(crate) mod shared_data;
pub(crate) mod stream_control;
#[cfg(test)]
mod tests;

/// Why a hostcall is refused: the cases of the contract's `error` that this host has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    Closed,
    NotAvailable,
    InvalidArgument,
    TooLarge,
    CasMismatch,
    Malformed,
    Internal,
}

/// The most fields that one call may bring.
pub(crate) const MAX_FIELDS: usize = 1024;

/// The most bytes that the fields of one call may have, in Proxy-Wasm's serialisation.
pub(crate) const MAX_FIELD_BYTES: usize = 1 << 20;

/// The most fields that a message may come to have by single calls. `http::HeaderMap` panics on six times as many.
pub(crate) const MAX_MAP: usize = 4096;

/// The most bytes that a body may come to have by a plugin's calls. What streams through is not counted, nor is what is paused:
/// that has the stream's own limit.
pub(crate) const MAX_BODY: usize = 64 << 20;

/// A stream, to be read or changed, unless it has ended.
pub(crate) fn open(of: &StreamContext) -> Result<RefMut<'_, State>, Error> {
    let state = of.shared.state.try_borrow_mut();
    let state = state.map_err(|_| Error::Internal)?;
    match state.ended {
        true => Err(Error::Closed),
        false => Ok(state),
    }
}

/// Whether fields of these sizes may come in one call.
pub(crate) fn check_sizes(mut sizes: impl ExactSizeIterator<Item = usize>) -> Result<(), Error> {
    if sizes.len() > MAX_FIELDS {
        return Err(Error::TooLarge);
    }
    // A count, then for each field two lengths and two closing zeros beside its bytes.
    let total = sizes.try_fold(4usize, |total, size| {
        total.checked_add(size)?.checked_add(10)
    });
    match total {
        Some(total) if total <= MAX_FIELD_BYTES => Ok(()),
        _ => Err(Error::TooLarge),
    }
}
