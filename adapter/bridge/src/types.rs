//! `types`: the errors of the contract, and the conversion of the host's statuses to them.
//!
//! `action` and `direction` are represented by their numbers in Proxy-Wasm.

use crate::abi::{self, Status, trap};
use crate::memory::RetPtr;

/// `error`, in the order of its cases.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Error {
    Closed,
    NotAvailable,
    NotFound,
    InvalidArgument,
    TooLarge,
    CasMismatch,
    Empty,
    Malformed,
    NotPermitted,
    Unsupported,
    Internal,
}

/// Converts a status to the result for the plugin.
///
/// Arguments are checked before the host sees them, so `BAD_ARGUMENT` means that what they refer to does not exist.
#[inline(always)]
pub(crate) fn outcome(status: Status) -> Result<(), Error> {
    if status == abi::OK {
        return Ok(());
    }
    Err(failure(status))
}

/// The same for a hostcall that stores something in a place that always exists. Here, `BAD_ARGUMENT` means that it is
/// too large.
pub(crate) fn room(status: Status) -> Result<(), Error> {
    match status {
        abi::BAD_ARGUMENT => Err(Error::TooLarge),
        status => outcome(status),
    }
}

#[cold]
#[inline(never)]
fn failure(status: Status) -> Error {
    match status {
        abi::NOT_FOUND | abi::BAD_ARGUMENT => Error::NotAvailable,
        abi::SERIALIZATION_FAILURE | abi::PARSE_FAILURE => Error::Malformed,
        abi::EMPTY => Error::Empty,
        abi::CAS_MISMATCH => Error::CasMismatch,
        // In Envoy, hostcalls return this only because of the deployment's capability restriction. `http_calls` handles
        // the exception itself.
        abi::INTERNAL_FAILURE => Error::NotPermitted,
        abi::UNIMPLEMENTED => Error::Unsupported,
        // A component runtime traps when it lifts such a list.
        abi::INVALID_MEMORY_ACCESS => trap(),
        _ => Error::Internal,
    }
}

/// Stores a `result<_, error>`.
pub(crate) fn store(ret: RetPtr, outcome: Result<(), Error>) {
    match outcome {
        Ok(()) => ret.byte(0, 0),
        Err(error) => store_error(ret, 1, error),
    }
}

/// Stores the error of a `result<T, error>` whose payload begins at `offset`.
pub(crate) fn store_error(ret: RetPtr, offset: usize, error: Error) {
    ret.byte(0, 1);
    ret.byte(offset, error as u8);
}
