//! [`Body`]: the bytes of a body. Wraps the contract's `http-bodies` interface.

use crate::{Direction, Error, HttpStream, bindings::http_bodies};

/// The body data that is visible to a body callback: the current chunk, preceded by any data buffered by earlier
/// pauses.
///
/// Outside the matching body callback, every method returns [`Error::NotAvailable`]. No method updates
/// `content-length`, because the headers have already been forwarded. A plugin that changes the size of a body must
/// remove that header in its headers callback.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    http: &'a HttpStream,
    half: Direction,
}

impl<'a> Body<'a> {
    pub(crate) fn new(http: &'a HttpStream, half: Direction) -> Self {
        Body { http, half }
    }

    /// Returns the number of bytes available.
    pub fn size(&self) -> Result<u32, Error> {
        http_bodies::size(self.http.handle(), self.half)
    }

    /// Copies at most `max` bytes, starting at `offset`. The result is shorter, or empty, if fewer bytes are available.
    pub fn read(&self, offset: u32, max: u32) -> Result<Vec<u8>, Error> {
        http_bodies::read(self.http.handle(), self.half, offset, max)
    }

    /// Copies all bytes.
    pub fn read_all(&self) -> Result<Vec<u8>, Error> {
        self.read(0, u32::MAX)
    }

    /// Replaces all bytes.
    pub fn replace(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::replace(self.http.handle(), self.half, data.as_ref())
    }

    /// Appends bytes at the end.
    pub fn append(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::append(self.http.handle(), self.half, data.as_ref())
    }

    /// Inserts bytes at the beginning.
    pub fn prepend(&self, data: impl AsRef<[u8]>) -> Result<(), Error> {
        http_bodies::prepend(self.http.handle(), self.half, data.as_ref())
    }
}
