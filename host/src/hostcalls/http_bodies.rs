//! `http-bodies`: access to a body in its own callback.

use bytes::Bytes;

use crate::context::StreamContext;
use crate::hostcalls::{Error, MAX_BODY, open};
use crate::state::body::Body;
use crate::vocabulary::Direction;

/// Returns the number of bytes.
pub(crate) fn size(of: &StreamContext, half: Direction) -> Result<usize, Error> {
    with(of, half, |body| body.len())
}

/// Copies at most `max` bytes, starting at `offset`.
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

/// Checks whether `data` can be added to a body of `len` bytes. Without this limit, a plugin could exhaust the
/// machine's memory within one callback.
pub(crate) fn check_room(len: usize, data: &[u8]) -> Result<(), Error> {
    if len.saturating_add(data.len()) > MAX_BODY {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// Calls `call` with the body that the plugin sees in its running body callback. Fails outside this callback.
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

/// Like [`with`], but also gives access, in any callback, to a body that the plugin paused in an earlier body callback.
/// Proxy-Wasm modules have this access.
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
