//! Bytes to be sent, in order.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes, BytesMut};

/// Shorter data is copied behind the bytes before it, so that it costs no separate slice.
const COPIED_SIZE: usize = 1024;

/// Bytes to be sent: large pieces, which are not copied, and a buffer for everything after them.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Output {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// The total size of `pieces`.
    pieces_len: usize,
}

// === impl Output ===

impl Output {
    /// Returns the number of bytes to be sent.
    pub(in crate::proxy) fn len(&self) -> usize {
        self.pieces_len + self.tail.len()
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the buffer to which further bytes are written.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds bytes.
    pub(in crate::proxy) fn push(&mut self, data: Bytes) {
        if data.len() <= COPIED_SIZE {
            self.tail.extend_from_slice(&data);
            return;
        }
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.push_piece(tail);
        }
        self.push_piece(data);
    }

    /// Adds a number in hexadecimal digits.
    pub(super) fn hexadecimal(&mut self, number: usize) {
        // Writing to a buffer in memory cannot fail.
        _ = write!(self.tail, "{number:x}");
    }

    /// Fills `slices` with the next bytes to be sent. Returns how many are filled.
    pub(in crate::proxy) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let all = self.pieces.iter().map(|piece| &piece[..]).chain(tail);
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Removes bytes that have been sent.
    pub(in crate::proxy) fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let sent = count.min(first.len());
            first.advance(sent);
            self.pieces_len -= sent;
            count -= sent;
            if !first.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
        if self.tail.is_empty() {
            // Makes the space before the next bytes available again.
            self.tail.clear();
        }
    }

    /// Drops everything, because it can no longer be sent.
    pub(in crate::proxy) fn clear(&mut self) {
        *self = Self::default();
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.pieces_len += piece.len();
        self.pieces.push_back(piece);
    }
}
