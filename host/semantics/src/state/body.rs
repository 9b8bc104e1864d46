//! Body data that was received and not yet forwarded. It is a rope, so that buffering does not copy bytes.

use std::collections::VecDeque;

use bytes::Bytes;

/// Chunks are joined up to this size.
const JOINED_SIZE: usize = 1024;

/// The chunks of a body, in order. No chunk is empty.
#[derive(Clone, Debug, Default)]
pub struct Body {
    chunks: VecDeque<Bytes>,
    len: usize,
}

impl Body {
    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes at the end.
    pub fn push_back(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.len += chunk.len();
        // A sender that sends single bytes would otherwise use much more memory than the limit of a body.
        match self.chunks.back_mut() {
            Some(last) if last.len() + chunk.len() <= JOINED_SIZE => {
                *last = Bytes::from([&last[..], &chunk[..]].concat());
            }
            _ => self.chunks.push_back(chunk),
        }
    }

    /// Adds bytes at the beginning.
    pub fn push_front(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_front(chunk);
        }
    }

    /// Moves all of another body to the end of this one.
    pub fn append(&mut self, mut other: Body) {
        self.len += other.len;
        self.chunks.append(&mut other.chunks);
    }

    /// Replaces all bytes.
    pub fn replace(&mut self, chunk: Bytes) {
        self.chunks.clear();
        self.len = 0;
        self.push_back(chunk);
    }

    /// Removes at most `count` bytes from the beginning.
    pub fn drain_front(&mut self, mut count: usize) {
        while count > 0
            && let Some(mut first) = self.chunks.pop_front()
        {
            if first.len() > count {
                self.len -= count;
                self.chunks.push_front(first.split_off(count));
                return;
            }
            count -= first.len();
            self.len -= first.len();
        }
    }

    /// Returns at most `max` bytes, starting at `offset`, as slices.
    pub fn range(&self, offset: usize, max: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = offset;
        let mut left = max;
        self.chunks.iter().filter_map(move |chunk| {
            let start = skip.min(chunk.len());
            skip -= start;
            let taken = chunk.get(start..)?;
            let taken = taken.get(..left.min(taken.len()))?;
            left -= taken.len();
            (!taken.is_empty()).then_some(taken)
        })
    }

    /// Returns the number of bytes in the slices that `range` returns.
    pub fn range_len(&self, offset: usize, max: usize) -> usize {
        self.len.saturating_sub(offset).min(max)
    }
}

impl From<Bytes> for Body {
    fn from(chunk: Bytes) -> Self {
        let mut body = Self::default();
        body.push_back(chunk);
        body
    }
}

impl IntoIterator for Body {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Back(Vec<u8>),
        Front(Vec<u8>),
        Drain(usize),
        Replace(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..6);
        prop_oneof![
            bytes().prop_map(Step::Back),
            bytes().prop_map(Step::Front),
            (0usize..12).prop_map(Step::Drain),
            bytes().prop_map(Step::Replace),
        ]
    }

    proptest! {
        #[test]
        fn body_behaves_like_a_byte_vec(steps in proptest::collection::vec(step(), 0..24), offset in 0usize..30, max in 0usize..30) {
            let mut body = Body::default();
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                match step {
                    Step::Back(bytes) => {
                        model.extend(&bytes);
                        body.push_back(bytes.into());
                    }
                    Step::Front(bytes) => {
                        model.splice(0..0, bytes.clone());
                        body.push_front(bytes.into());
                    }
                    Step::Drain(count) => {
                        model.drain(..count.min(model.len()));
                        body.drain_front(count);
                    }
                    Step::Replace(bytes) => {
                        model.clone_from(&bytes);
                        body.replace(bytes.into());
                    }
                }
                prop_assert_eq!(body.len(), model.len());
            }
            let start = offset.min(model.len());
            let expected = &model[start..(start + max).min(model.len())];
            let got: Vec<u8> = body.range(offset, max).flatten().copied().collect();
            prop_assert_eq!(&got, expected);
            prop_assert_eq!(body.range_len(offset, max), expected.len());
            let all: Vec<u8> = body.into_iter().flatten().collect();
            prop_assert_eq!(all, model);
        }
    }
}
