//! `http-bodies`: the bytes of a body, inside that body's callback.

use bytes::Bytes;

use crate::context::StreamContext;
use crate::hostcalls::{Error, MAX_BODY, open};
use crate::state::body::Body;
use crate::vocabulary::Direction;

/// How many bytes there are.
pub(crate) fn size(of: &StreamContext, half: Direction) -> Result<usize, Error> {
    with(of, half, |body| body.len())
}

/// Copies out at most `max` bytes from `offset`.
pub(crate) fn read(
    of: &StreamContext,
    half: Direction,
    offset: usize,
    max: usize,
) -> Result<Vec<u8>, Error> {
    with(of, half, |body| {
        let mut copy = Vec::with_capacity(body.range_len(offset, max));
        body.range(offset, max)
            .for_each(|slice| copy.extend_from_slice(slice));
        copy
    })
}

/// Replaces all bytes.
pub(crate) fn replace(of: &StreamContext, half: Direction, data: Bytes) -> Result<(), Error> {
    with(of, half, |body| body.replace(data))
}

/// Adds bytes at the end.
pub(crate) fn append(of: &StreamContext, half: Direction, data: Bytes) -> Result<(), Error> {
    with(of, half, |body| {
        check_room(body.len(), &data)?;
        body.push_back(data);
        Ok(())
    })?
}

/// Adds bytes at the beginning.
pub(crate) fn prepend(of: &StreamContext, half: Direction, data: Bytes) -> Result<(), Error> {
    with(of, half, |body| {
        check_room(body.len(), &data)?;
        body.push_front(data);
        Ok(())
    })?
}

/// Whether a body of `len` bytes may grow by these: a plugin could otherwise fill the machine's memory from within one callback.
pub(crate) fn check_room(len: usize, data: &[u8]) -> Result<(), Error> {
    if len.saturating_add(data.len()) > MAX_BODY {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// The bytes that the plugin's body callback was called for, while it runs.
fn with<R>(
    of: &StreamContext,
    half: Direction,
    call: impl FnOnce(&mut Body) -> R,
) -> Result<R, Error> {
    let mut state = open(of)?;
    if state.filter(of.filter).phase != Some(half.body_phase()) {
        return Err(Error::NotAvailable);
    }
    Ok(call(state.body(of.filter, half)))
}

/// The same, and what the plugin has paused in an earlier body callback too: Proxy-Wasm modules reach that from any callback.
pub(crate) fn with_paused<R>(
    of: &StreamContext,
    half: Direction,
    call: impl FnOnce(&mut Body) -> R,
) -> Result<R, Error> {
    let mut state = open(of)?;
    let filter = state.filter(of.filter);
    let paused = filter.buffering.get(half.index()).copied().unwrap_or(false);
    if filter.phase != Some(half.body_phase()) && !paused {
        return Err(Error::NotAvailable);
    }
    Ok(call(state.body(of.filter, half)))
}
