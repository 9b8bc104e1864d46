//! A list of context ids.

use core::cell::Cell;

use crate::arena::{Arena, Buffer};

/// A list of context ids, used from its end.
#[repr(C)]
pub(crate) struct Ids {
    buffer: Buffer,
    len: Cell<usize>,
}

impl Ids {
    /// Adds an id.
    #[inline(always)]
    pub(crate) fn push(&self, arena: &Arena, id: u32) {
        let len = self.len.get();
        let start = self.buffer.reserve(arena, (len + 1) * size_of::<u32>());
        // SAFETY: the buffer has room for the id after those that it holds.
        unsafe { start.cast::<u32>().add(len).write(id) };
        self.len.set(len + 1);
    }

    /// Removes the id that was added last.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<u32> {
        let last = self.len.get().checked_sub(1)?;
        self.len.set(last);
        // SAFETY: that many ids have been written, and one more.
        Some(unsafe { self.buffer.start().cast::<u32>().add(last).read() })
    }
}
