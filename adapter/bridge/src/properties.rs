//! `properties`: what the host knows about a stream in addition to its fields.
//!
//! The host takes a path as its segments, separated by zero bytes. A property that is set has a path of one segment,
//! because the host would not find it under a longer one.

use crate::abi::{self, Status};
use crate::contexts;
use crate::memory::{List, RetPtr, bytes, list, string};
use crate::state::{State, state};
use crate::types::{self, Error};

/// The maximum size in bytes of a path's segments together, or of a name and its value together.
const MAX_SIZE: usize = 1 << 16;

#[unsafe(export_name = "properties#get")]
extern "C" fn get(http: u32, path: *const List, path_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<option<list<u8>>, error>`, and the path is valid for the duration
    // of the call.
    let (ret, path) = unsafe { (RetPtr::new(ret), lift(path, path_len)) };
    let state = state();
    store(ret, state, find(state, http, path));
}

/// Asks the host for the value. Returns whether there is one.
fn find(state: &State, http: u32, path: &[List]) -> Result<bool, Error> {
    contexts::enter(state, http)?;
    let status = write(state, path).map(|path| ask(state, path));
    contexts::leave(state, http);
    is_value(status?)
}

/// A path that the guest passed. Traps if it violates its type.
///
/// # Safety
/// The path stays there, unchanged, for `'a`.
#[inline(always)]
pub(crate) unsafe fn lift<'a>(path: *const List, len: usize) -> &'a [List] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let path = list::<List>(path, len);
        for segment in path {
            string(segment.start, segment.len);
        }
        path
    }
}

/// Asks the host for the value at a path that [`write`] has written, in the selected context.
#[inline(always)]
pub(crate) fn ask(state: &State, path: List) -> Status {
    // SAFETY: the path is in the scratch buffer, which nothing touches in the meantime, and the other addresses point
    // to cells of the state.
    unsafe {
        abi::proxy_get_property(
            path.start,
            path.len,
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    }
}

/// Whether the host has returned a value, by the status with which it did.
#[inline(always)]
pub(crate) fn is_value(status: Status) -> Result<bool, Error> {
    match status {
        abi::NOT_FOUND => Ok(false),
        status => types::outcome(status).map(|()| true),
    }
}

/// Stores a `result<option<list<u8>>, error>`. If there is a value, the host has just returned it.
#[inline(always)]
pub(crate) fn store(ret: RetPtr, state: &State, found: Result<bool, Error>) {
    match found {
        Err(error) => types::store_error(ret, 4, error),
        Ok(found) => {
            ret.byte(0, 0);
            ret.byte(4, found as u8);
            if found {
                ret.list(8, List::received(state));
            }
        }
    }
}

/// Writes a path into the scratch buffer.
pub(crate) fn write(state: &State, path: &[List]) -> Result<List, Error> {
    let mut size = 0_usize;
    for segment in path {
        size = size.saturating_add(1).saturating_add(segment.len);
    }
    if size > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let start = state.scratch(size);
    let mut end = start;
    for segment in path {
        // SAFETY: the segment was borrowed from the guest together with the path.
        let segment = unsafe { bytes(segment.start, segment.len) };
        check(segment)?;
        // SAFETY: `size` counts the segment's bytes and one more.
        unsafe {
            core::ptr::copy_nonoverlapping(segment.as_ptr(), end, segment.len());
            end = end.add(segment.len());
            end.write(0);
            end = end.add(1);
        }
    }
    // There is no zero byte after the last segment. A path has at least one segment.
    let Some(len) = size.checked_sub(1) else {
        return Err(Error::InvalidArgument);
    };
    Ok(List { start, len })
}

/// Checks a segment. An empty one would be lost, and one that contains a zero byte would become two.
fn check(segment: &[u8]) -> Result<(), Error> {
    if segment.is_empty() || segment.contains(&0) {
        return Err(Error::InvalidArgument);
    }
    Ok(())
}

#[unsafe(export_name = "properties#set")]
extern "C" fn set(
    http: u32,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`; name and value are valid for the duration of the
    // call.
    let (ret, name, value) = unsafe {
        (
            RetPtr::new(ret),
            string(name, name_len),
            bytes(value, value_len),
        )
    };
    types::store(ret, leave(http, name, value));
}

fn leave(http: u32, name: &[u8], value: &[u8]) -> Result<(), Error> {
    let state = state();
    contexts::enter(state, http)?;
    let outcome = check(name).and_then(|()| {
        if name.len().saturating_add(value.len()) > MAX_SIZE {
            return Err(Error::TooLarge);
        }
        // SAFETY: name and value stay where they are while the host reads them.
        types::room(unsafe {
            abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len())
        })
    });
    contexts::leave(state, http);
    outcome
}
