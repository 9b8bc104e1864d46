//! `http-streams`: lookup of streams by the IDs that guests use.
//!
//! IDs are not reused until they wrap around, so that a handle that outlives its stream returns `closed` instead of
//! referring to another stream.

use crate::context::{Context, Services, StreamContext};
use crate::hostcalls::Error;

/// Looks up a stream and calls `call` with it. `current` is the context of the running callback. It is checked first,
/// because most hostcalls are for its stream.
pub fn with<R>(
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

/// Returns the ID of a stream for log lines. The handle is the ID of the stream context.
#[inline]
pub fn id(handle: u32) -> u32 {
    handle
}
