//! `http-bodies`: access to a body in its own callback.

use tidegate_semantics::hostcalls;

use super::{
    current::with_stream,
    http_streams::HttpStream,
    types::{Direction, Error},
};

#[track_caller]
pub fn size(of: &HttpStream, body: Direction) -> Result<u32, Error> {
    let size = with_stream(of.handle(), |_, stream| {
        hostcalls::http_bodies::size(stream, body.into())
    })?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

#[track_caller]
pub fn read(of: &HttpStream, body: Direction, offset: u32, max: u32) -> Result<Vec<u8>, Error> {
    let (offset, max) = (offset as usize, max as usize);
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_bodies::read(stream, body.into(), offset, max)
    })
}

#[track_caller]
pub fn replace(of: &HttpStream, body: Direction, data: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_bodies::replace(stream, body.into(), data.to_vec().into())
    })
}

#[track_caller]
pub fn append(of: &HttpStream, body: Direction, data: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_bodies::append(stream, body.into(), data.to_vec().into())
    })
}

#[track_caller]
pub fn prepend(of: &HttpStream, body: Direction, data: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::http_bodies::prepend(stream, body.into(), data.to_vec().into())
    })
}
