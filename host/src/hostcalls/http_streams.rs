//! `http-streams`: from the number by which a guest speaks of a stream to the stream.
//!
//! Numbers are not used twice, so one that is kept past its stream's end is `closed`, and never another stream.

use crate::context::{Context, Services, StreamContext};
use crate::hostcalls::Error;

/// Looks a stream up and uses it. `current` is the context whose callback runs: mostly that is the one.
pub(crate) fn with<R>(
    services: &Services,
    current: Option<&Context>,
    id: u32,
    call: impl FnOnce(&StreamContext) -> Result<R, Error>,
) -> Result<R, Error> {
    if let Some(Context {
        id: running,
        stream: Some(stream),
        ..
    }) = current
        && *running == id
    {
        return call(stream);
    }
    match services.contexts.find(id) {
        Some(Context {
            stream: Some(stream),
            ..
        }) => call(&stream),
        _ => Err(Error::Closed),
    }
}

/// What the guest may write into its logs: a handle is its context's number.
pub(crate) fn id(handle: u32) -> u32 {
    handle
}
