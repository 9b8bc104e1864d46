//! `foreign-functions`: functions of the host that are not part of Proxy-Wasm.

use crate::abi;
use crate::memory::{RetPtr, bytes, string};
use crate::state::state;
use crate::types::{self, Error};

#[unsafe(export_name = "foreign-functions#call")]
extern "C" fn call(
    name: *const u8,
    name_len: usize,
    arguments: *const u8,
    arguments_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<list<u8>, error>`; name and arguments are valid for the duration
    // of the call.
    let (ret, name, arguments) = unsafe {
        (
            RetPtr::new(ret),
            string(name, name_len),
            bytes(arguments, arguments_len),
        )
    };
    let state = state();
    // SAFETY: name and arguments stay where they are while the host reads them, and the other addresses point to cells
    // of the state.
    let status = unsafe {
        abi::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    };
    let outcome = match status {
        // The arguments are checked by the function itself, and not before the host sees them.
        abi::BAD_ARGUMENT => Err(Error::InvalidArgument),
        status => types::found(status),
    };
    types::store_received(ret, state, outcome);
}
