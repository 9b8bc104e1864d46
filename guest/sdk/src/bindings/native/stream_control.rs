//! `stream-control`: resuming and resetting a stream, after the current callback has returned.

use tidegate_semantics::hostcalls;

use super::{
    current::with_stream,
    http_streams::HttpStream,
    types::{Direction, Error},
};

#[track_caller]
pub fn resume(of: &HttpStream, direction: Direction) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::stream_control::resume(stream, direction.into())
    })
}

#[track_caller]
pub fn reset(of: &HttpStream) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::stream_control::reset(stream)
    })
}
