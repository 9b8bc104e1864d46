//! Buffers a plugin's output by line.
//!
//! Runtimes write lines in pieces, and the host would log every piece as a separate line. Pieces are therefore buffered
//! until their line is complete.

use core::cell::Cell;

use crate::abi;
use crate::arena::{Arena, Buffer};

/// The maximum length of a line. A longer one is logged as several.
const MAX_LINE: usize = 1 << 16;

/// The pieces of an incomplete line.
#[repr(C)]
pub(crate) struct Lines {
    buffer: Buffer,
    len: Cell<usize>,
}

impl Lines {
    /// Logs the lines that `text` completes, and keeps the rest.
    pub(crate) fn write(&self, arena: &Arena, level: u32, mut text: &[u8]) {
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = text.split_at(end);
            if self.len.get() == 0 {
                log(level, line);
            } else {
                self.add(arena, level, line);
                self.finish(level);
            }
            text = rest.get(1..).unwrap_or_default();
        }
        self.add(arena, level, text);
    }

    fn add(&self, arena: &Arena, level: u32, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if self.len.get().saturating_add(piece.len()) > MAX_LINE {
            self.finish(level);
        }
        if piece.len() > MAX_LINE {
            log(level, piece);
            return;
        }
        let len = self.len.get();
        let buffer = self.buffer.reserve(arena, len + piece.len());
        // SAFETY: the buffer has room for the piece after what it holds.
        unsafe { core::ptr::copy_nonoverlapping(piece.as_ptr(), buffer.add(len), piece.len()) };
        self.len.set(len + piece.len());
    }

    /// Logs the incomplete line, if there is one.
    pub(crate) fn finish(&self, level: u32) {
        if self.len.get() == 0 {
            return;
        }
        // SAFETY: that many bytes have been written to the buffer.
        unsafe { abi::proxy_log(level, self.buffer.start(), self.len.get()) };
        self.len.set(0);
    }
}

fn log(level: u32, line: &[u8]) {
    // SAFETY: the line stays where it is while the host reads it.
    unsafe { abi::proxy_log(level, line.as_ptr(), line.len()) };
}
