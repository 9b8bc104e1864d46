//! `types`: the errors of the contract, and the conversion of the host's statuses to them.
//!
//! `action` and `direction` are represented by their numbers in Proxy-Wasm.

use crate::abi::{self, Status, trap};
use crate::memory::{List, RetPtr};
use crate::state::State;

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

/// The same for a hostcall that refers to something by its name or number. Here, `NOT_FOUND` means that it does not
/// exist.
pub(crate) fn found(status: Status) -> Result<(), Error> {
    match status {
        abi::NOT_FOUND => Err(Error::NotFound),
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
        // In Envoy, hostcalls return this because of the deployment's capability restriction. `http_calls` handles the
        // exception itself. A foreign function that fails with the same status cannot be distinguished.
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

/// Stores a `result<list<u8>, error>` whose bytes the host has just returned.
#[inline(always)]
pub(crate) fn store_received(ret: RetPtr, state: &State, outcome: Result<(), Error>) {
    match outcome {
        Err(error) => store_error(ret, 4, error),
        Ok(()) => {
            ret.byte(0, 0);
            ret.list(4, List::received(state));
        }
    }
}

/// Stores the error of a `result<T, error>` whose payload begins at `offset`.
pub(crate) fn store_error(ret: RetPtr, offset: usize, error: Error) {
    ret.byte(0, 1);
    ret.byte(offset, error as u8);
}
