//! `http-bodies`: access to a body in its own callback.

use bytes::Bytes;

use crate::context::StreamContext;
use crate::hostcalls::{Error, MAX_BODY_BYTES, borrow_state};
use crate::state::body::Body;
use crate::vocabulary::Direction;

/// Returns the number of bytes.
pub fn size(stream: &StreamContext, direction: Direction) -> Result<usize, Error> {
    with_current_body(stream, direction, |body| body.len())
}

/// Copies at most `max` bytes, starting at `offset`.
pub fn read(
    stream: &StreamContext,
    direction: Direction,
    offset: usize,
    max: usize,
) -> Result<Vec<u8>, Error> {
    with_current_body(stream, direction, |body| {
        let mut copy = Vec::with_capacity(body.range_len(offset, max));
        body.range(offset, max)
            .for_each(|slice| copy.extend_from_slice(slice));
        copy
    })
}

/// Replaces all bytes.
pub fn replace(stream: &StreamContext, direction: Direction, data: Bytes) -> Result<(), Error> {
    with_current_body(stream, direction, |body| body.replace(data))
}

/// Adds bytes at the end.
pub fn append(stream: &StreamContext, direction: Direction, data: Bytes) -> Result<(), Error> {
    add(stream, direction, data, Body::push_back)
}

/// Adds bytes at the beginning.
pub fn prepend(stream: &StreamContext, direction: Direction, data: Bytes) -> Result<(), Error> {
    add(stream, direction, data, Body::push_front)
}

fn add(
    stream: &StreamContext,
    direction: Direction,
    data: Bytes,
    push: impl FnOnce(&mut Body, Bytes),
) -> Result<(), Error> {
    with_current_body(stream, direction, |body| {
        check_room(body.len(), &data)?;
        push(body, data);
        Ok(())
    })?
}

/// Checks whether `data` can be added to a body of `len` bytes. Without this limit, a plugin could exhaust the
/// machine's memory within one callback.
pub fn check_room(len: usize, data: &[u8]) -> Result<(), Error> {
    if len.saturating_add(data.len()) > MAX_BODY_BYTES {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// Calls `call` with the body that the plugin sees in its running body callback. Fails outside this callback.
fn with_current_body<R>(
    stream: &StreamContext,
    direction: Direction,
    call: impl FnOnce(&mut Body) -> R,
) -> Result<R, Error> {
    let mut state = borrow_state(stream)?;
    if state.filter(stream.filter).phase != Some(direction.body_phase()) {
        return Err(Error::NotAvailable);
    }
    Ok(call(state.body(stream.filter, direction)))
}

/// Like the functions of this interface, but also gives access, in any callback, to a body that the plugin paused in an earlier body callback.
/// Proxy-Wasm modules have this access.
pub fn with_current_or_paused_body<R>(
    stream: &StreamContext,
    direction: Direction,
    call: impl FnOnce(&mut Body) -> R,
) -> Result<R, Error> {
    let mut state = borrow_state(stream)?;
    let filter = state.filter(stream.filter);
    if filter.phase != Some(direction.body_phase()) && !filter.accumulates(direction) {
        return Err(Error::NotAvailable);
    }
    Ok(call(state.body(stream.filter, direction)))
}
