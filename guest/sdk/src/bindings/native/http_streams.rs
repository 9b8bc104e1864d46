//! `http-streams`: a handle is the ID of the stream context, so there is nothing to release.

use tidegate_semantics::hostcalls;

#[derive(Debug)]
pub struct HttpStream {
    handle: u32,
}

impl HttpStream {
    /// # Safety
    ///
    /// Always safe: a handle is only a number. The generated function is not, because there a handle must have one owner.
    pub unsafe fn from_handle(handle: u32) -> Self {
        HttpStream::new(handle)
    }

    pub(crate) fn new(handle: u32) -> Self {
        HttpStream { handle }
    }

    pub fn take_handle(&self) -> u32 {
        self.handle
    }

    pub fn handle(&self) -> u32 {
        self.handle
    }

    pub fn id(&self) -> u32 {
        hostcalls::http_streams::id(self.handle)
    }
}
