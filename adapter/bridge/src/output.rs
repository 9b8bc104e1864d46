//! What a plugin's runtime prints, on its way to the host's log: line by line, standard output at level `info`,
//! standard error at `error`.
//!
//! Runtimes write lines in pieces and the host logs every piece as a line, so pieces wait here for their newline.

use core::cell::Cell;

use crate::abi::{self, LEVEL_ERROR, LEVEL_INFO};
use crate::memory::Buffer;
use crate::state::State;

/// A line that is longer goes out in several.
const MAX_LINE: usize = 1 << 16;

/// Pieces of a line that has no end yet.
#[repr(C)]
pub(crate) struct Lines {
    buffer: Buffer,
    len: Cell<usize>,
}

/// Which of the two a plugin printed to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Prints.
pub(crate) fn write(state: &State, to: Stream, mut text: &[u8]) {
    let (lines, level) = match to {
        Stream::Stdout => (&state.stdout, LEVEL_INFO),
        Stream::Stderr => (&state.stderr, LEVEL_ERROR),
    };
    while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = text.split_at(end);
        if lines.len.get() == 0 {
            log(level, line);
        } else {
            lines.add(level, line);
            lines.finish(level);
        }
        text = rest.get(1..).unwrap_or_default();
    }
    lines.add(level, text);
}

/// Logs what has no newline yet.
pub(crate) fn flush(state: &State) {
    for (lines, level) in [(&state.stdout, LEVEL_INFO), (&state.stderr, LEVEL_ERROR)] {
        lines.finish(level);
    }
}

impl Lines {
    fn add(&self, level: u32, piece: &[u8]) {
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
        let buffer = self.buffer.reserve(len + piece.len());
        // SAFETY: the buffer has room for the piece behind what it holds.
        unsafe { core::ptr::copy_nonoverlapping(piece.as_ptr(), buffer.add(len), piece.len()) };
        self.len.set(len + piece.len());
    }

    /// Logs what there is, if anything.
    fn finish(&self, level: u32) {
        if self.len.get() == 0 {
            return;
        }
        // SAFETY: as many bytes were written to the buffer.
        unsafe { abi::proxy_log(level, self.buffer.start(), self.len.get()) };
        self.len.set(0);
    }
}

fn log(level: u32, line: &[u8]) {
    // SAFETY: the line stays where it is while the host reads it.
    unsafe { abi::proxy_log(level, line.as_ptr(), line.len()) };
}
