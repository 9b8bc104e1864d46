//! `shared-data`: data that the workers of a proxy share.
//!
//! The host compares versions only if the key has a value, and treats version 0 as no condition at all.

use crate::abi::{self, trap};
use crate::memory::{List, RetPtr, bytes, string};
use crate::state::state;
use crate::types::{self, Error};

/// The maximum size in bytes of a key and its value together.
const MAX_SIZE: usize = 1 << 20;

/// A version that no value has until four billion values have been stored. The host rejects it if the key has a value.
const NEVER: u32 = u32::MAX;

#[unsafe(export_name = "shared-data#get")]
extern "C" fn get(key: *const u8, key_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<option<stored>, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    let state = state();
    let version = state.time.as_ptr().cast::<u32>();
    // SAFETY: the key belongs to the guest and is valid for the duration of the call, and the addresses point to cells
    // of the state.
    let status = unsafe {
        let key = string(key, key_len);
        abi::proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            state.data.as_ptr(),
            state.size.as_ptr(),
            version,
        )
    };
    if status == abi::NOT_FOUND {
        ret.byte(0, 0);
        ret.byte(4, 0);
        return;
    }
    match types::outcome(status) {
        Err(error) => types::store_error(ret, 4, error),
        Ok(()) => {
            ret.byte(0, 0);
            ret.byte(4, 1);
            // SAFETY: the host has written the version.
            ret.word(16, unsafe { version.read() });
            ret.list(8, List::received(state));
        }
    }
}

#[unsafe(export_name = "shared-data#set")]
extern "C" fn set(
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    condition: u32,
    version: u32,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`; key and value are valid for the duration of the call.
    let (ret, key, value) = unsafe {
        (
            RetPtr::new(ret),
            string(key, key_len),
            bytes(value, value_len),
        )
    };
    types::store(ret, store(key, value, condition, version));
}

fn store(key: &[u8], value: &[u8], condition: u32, version: u32) -> Result<(), Error> {
    let version = match (condition, version) {
        (0, _) => 0,
        (1, _) => NEVER,
        (2, 0) => return Err(Error::InvalidArgument),
        (2, version) => version,
        _ => trap(),
    };
    if key.len().saturating_add(value.len()) > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    // SAFETY: key and value stay where they are while the host reads them.
    let status = unsafe {
        abi::proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    };
    types::room(status)
}
