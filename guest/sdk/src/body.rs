//! [`Body`]: the bytes of a body, the contract's `http-bodies`.

use crate::{Direction, Error, HttpStream, bindings::http_bodies};

/// What a body callback can see of its body: the piece that it was called for, with what was paused before it.
///
/// Anywhere else every method answers [`Error::NotAvailable`]. None of them changes `content-length`: headers have left
/// by then. A plugin that will change a body's size removes that header in its headers callback.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    http: &'a HttpStream,
    half: Direction,
}

impl<'a> Body<'a> {
    pub(crate) fn new(http: &'a HttpStream, half: Direction) -> Self {
        Body { http, half }
    }

    /// How many bytes there are.
    pub fn size(&self) -> Result<u32, Error> {
        http_bodies::size(self.http.handle(), self.half)
    }

    /// Copies out at most `max` bytes from `offset`; less, or nothing, where fewer are there.
    pub fn read(&self, offset: u32, max: u32) -> Result<Vec<u8>, Error> {
        http_bodies::read(self.http.handle(), self.half, offset, max)
    }

    /// Copies out all bytes.
    pub fn read_all(&self) -> Result<Vec<u8>, Error> {
        self.read(0, u32::MAX)
    }

    /// Replaces all bytes.
    pub fn replace(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::replace(self.http.handle(), self.half, data.as_ref())
    }

    /// Adds bytes at the end.
    pub fn append(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::append(self.http.handle(), self.half, data.as_ref())
    }

    /// Adds bytes at the beginning.
    pub fn prepend(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::prepend(self.http.handle(), self.half, data.as_ref())
    }
}
