//! `http-fields`: headers and trailers.
//!
//! The host returns only the first value of a field by name. All values of a field are read from its list of all
//! fields.

use crate::abi::{self, Status};
use crate::contexts;
use crate::memory::{List, RetPtr, allocate, bytes, discriminant, into_scratch, received, string};
use crate::pairs::{self, CheckedPairs, Entry, Names, Pairs};
use crate::state::{State, state};
use crate::syntax;
use crate::types::{self, Error};

/// `field-map.request-headers`, which has the same number in Proxy-Wasm.
const REQUEST_HEADERS: u32 = 0;

/// Checks a `field-map`, whose cases have the host's numbers. The host has more maps, which a plugin cannot reach with
/// these.
#[inline(always)]
fn field_map(map: u32) -> u32 {
    discriminant(map, 4)
}

#[unsafe(export_name = "http-fields#get")]
extern "C" fn get(http: u32, map: u32, name: *const u8, name_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<option<list<u8>>, error>`, and the name is valid for the duration
    // of the call.
    let (ret, name) = unsafe { (RetPtr::new(ret), string(name, name_len)) };
    let state = state();
    match first(state, http, field_map(map), name) {
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

/// Asks the host for the first value. Returns whether there is one.
#[inline(always)]
fn first(state: &State, http: u32, map: u32, name: &[u8]) -> Result<bool, Error> {
    contexts::enter(state, http)?;
    let status = if name.first() == Some(&b':') && !syntax::is_pseudo(name) {
        // Proxies have further pseudo-headers, which are not part of the contract.
        abi::NOT_FOUND
    } else {
        value(state, map, name)
    };
    contexts::leave(state, http);
    if status == abi::NOT_FOUND {
        return Ok(false);
    }
    types::outcome(status).map(|()| true)
}

fn value(state: &State, map: u32, name: &[u8]) -> Status {
    // SAFETY: the name stays where it is, and the two addresses point to cells of the state.
    unsafe {
        abi::proxy_get_header_map_value(
            map,
            name.as_ptr(),
            name.len(),
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    }
}

#[unsafe(export_name = "http-fields#values")]
extern "C" fn values(http: u32, map: u32, name: *const u8, name_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<list<list<u8>>, error>`, and the name is valid for the duration
    // of the call.
    let (ret, name) = unsafe { (RetPtr::new(ret), string(name, name_len)) };
    match all_of(state(), http, field_map(map), name) {
        Err(error) => types::store_error(ret, 4, error),
        Ok(list) => {
            ret.byte(0, 0);
            ret.list(4, list);
        }
    }
}

fn all_of(state: &State, http: u32, map: u32, name: &[u8]) -> Result<List, Error> {
    all(state, http, map)?;
    let authority = map == REQUEST_HEADERS && syntax::is_host(name);
    let is_asked_for = |field: &[u8]| {
        if authority {
            syntax::is_authority(field)
        } else {
            field.eq_ignore_ascii_case(name)
        }
    };
    let mut len = 0;
    each(state, |field, _| {
        len += is_asked_for(field) as usize;
        Ok(())
    })?;
    if name.first() == Some(&b':') && !syntax::is_pseudo(name) {
        len = 0;
    }
    let start = allocate(4, len * size_of::<List>());
    let mut next = start.cast::<List>();
    if len != 0 {
        each(state, |field, value| {
            if is_asked_for(field) {
                // SAFETY: there is room for as many as were counted above, in the same list.
                unsafe {
                    next.write(List::copied(value, allocate));
                    next = next.add(1);
                }
            }
            Ok(())
        })?;
    }
    Ok(List { start, len })
}

#[unsafe(export_name = "http-fields#entries")]
extern "C" fn entries(http: u32, map: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<list<tuple<string, list<u8>>>, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    match every(state(), http, field_map(map)) {
        Err(error) => types::store_error(ret, 4, error),
        Ok(list) => {
            ret.byte(0, 0);
            ret.list(4, list);
        }
    }
}

fn every(state: &State, http: u32, map: u32) -> Result<List, Error> {
    all(state, http, map)?;
    Ok(CheckedPairs::read(received(state))?.copied(allocate))
}

/// Has the host write all fields into the scratch buffer.
fn all(state: &State, http: u32, map: u32) -> Result<(), Error> {
    contexts::enter(state, http)?;
    let mut status = into_scratch(state, |data, size| {
        // SAFETY: both addresses point to cells of the state.
        unsafe { abi::proxy_get_header_map_pairs(map, data, size) }
    });
    if status == abi::OK && state.size.get() == 0 {
        // The host returns the same for a map that does not exist. Only asking for a value distinguishes the two cases.
        state.time.set(b'-'.into());
        // SAFETY: the name is the first byte of a cell of the state; a literal would be a data segment.
        status = match value(state, map, unsafe { bytes(state.time.as_ptr().cast(), 1) }) {
            abi::NOT_FOUND => abi::OK,
            other => other,
        };
        state.size.set(0);
    }
    contexts::leave(state, http);
    types::outcome(status)
}

/// Iterates over the fields that `all` has received.
#[inline(always)]
fn each(
    state: &State,
    mut field: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(mut pairs) = Pairs::read(received(state)) else {
        return Err(Error::Malformed);
    };
    for _ in 0..pairs.count {
        let Some((name, value)) = pairs.next() else {
            return Err(Error::Malformed);
        };
        field(name, value)?;
    }
    Ok(())
}

#[unsafe(export_name = "http-fields#set")]
extern "C" fn set(
    http: u32,
    map: u32,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`; name and value are valid for the duration of the
    // call.
    unsafe {
        let (name, value) = (string(name, name_len), bytes(value, value_len));
        types::store(
            RetPtr::new(ret),
            change(
                http,
                field_map(map),
                name,
                value,
                abi::proxy_replace_header_map_value,
            ),
        );
    }
}

#[unsafe(export_name = "http-fields#append")]
extern "C" fn append(
    http: u32,
    map: u32,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`; name and value are valid for the duration of the
    // call.
    unsafe {
        let (name, value) = (string(name, name_len), bytes(value, value_len));
        types::store(
            RetPtr::new(ret),
            change(
                http,
                field_map(map),
                name,
                value,
                abi::proxy_add_header_map_value,
            ),
        );
    }
}

/// Checks a field and passes it to `store`, one of the two hostcalls that store a field.
#[inline(always)]
fn change(
    http: u32,
    map: u32,
    name: &[u8],
    value: &[u8],
    store: unsafe extern "C" fn(u32, *const u8, usize, *const u8, usize) -> Status,
) -> Result<(), Error> {
    let state = state();
    contexts::enter(state, http)?;
    let outcome = syntax::check_field(name, value).and_then(|()| {
        // SAFETY: name and value stay where they are while the host reads them.
        types::outcome(unsafe {
            store(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
        })
    });
    contexts::leave(state, http);
    outcome
}

#[unsafe(export_name = "http-fields#remove")]
extern "C" fn remove(http: u32, map: u32, name: *const u8, name_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`, and the name is valid for the duration of the call.
    let (ret, name) = unsafe { (RetPtr::new(ret), string(name, name_len)) };
    let map = field_map(map);
    let remove = || {
        let state = state();
        contexts::enter(state, http)?;
        let outcome = syntax::check_name(name).and_then(|()| {
            // SAFETY: the name stays where it is while the host reads it.
            types::outcome(unsafe {
                abi::proxy_remove_header_map_value(map, name.as_ptr(), name.len())
            })
        });
        contexts::leave(state, http);
        outcome
    };
    types::store(ret, remove());
}

#[unsafe(export_name = "http-fields#replace-all")]
extern "C" fn replace_all(
    http: u32,
    map: u32,
    fields: *const Entry,
    fields_len: usize,
    ret: *mut u8,
) {
    // SAFETY: the caller provides space for a `result<_, error>`, and the list is valid for the duration of the call.
    let (ret, fields) = unsafe { (RetPtr::new(ret), pairs::lift(fields, fields_len)) };
    let map = field_map(map);
    let replace = || {
        let state = state();
        contexts::enter(state, http)?;
        let outcome = pairs::write(state, fields, Names::FieldsAndPseudo).and_then(|list| {
            // SAFETY: the list is in the scratch buffer, which nothing touches in the meantime.
            types::outcome(unsafe { abi::proxy_set_header_map_pairs(map, list.start, list.len) })
        });
        contexts::leave(state, http);
        outcome
    };
    types::store(ret, replace());
}
