//! A map whose keys are numbers, for the configured plugins and for the HTTP calls in progress.
//!
//! It is an unsorted list that is searched from the front. That is the fastest form for a few entries, and there are
//! only a few: a worker runs each deployment of a module once, and the time that a call takes limits how many are in
//! progress. Streams, of which there may be tens of thousands, are in the hash table `streams`.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::arena::{Arena, Buffer};

/// An entry of the list.
#[repr(C)]
struct Place<V> {
    key: Cell<u32>,
    value: Cell<V>,
}

/// A map from numbers to values, which consist of numbers.
#[repr(C)]
pub(crate) struct Map<V> {
    places: Buffer,
    len: Cell<usize>,
    values: PhantomData<Cell<V>>,
}

// Inlined, because most plugins use each of these functions in one place, and then they are smaller.
impl<V: Copy> Map<V> {
    /// The value of this key.
    #[inline(always)]
    pub(crate) fn find(&self, key: u32) -> Option<V> {
        let at = self.position(key)?;
        Some(self.place(at).value.get())
    }

    /// Stores a value, and returns the one that the key had before.
    #[inline(always)]
    pub(crate) fn put(&self, arena: &Arena, key: u32, value: V) -> Option<V> {
        if let Some(at) = self.position(key) {
            return Some(self.place(at).value.replace(value));
        }
        let len = self.len.get();
        self.places
            .reserve(arena, (len + 1) * size_of::<Place<V>>());
        self.len.set(len + 1);
        let place = self.place(len);
        place.key.set(key);
        place.value.set(value);
        None
    }

    /// Removes the key, and returns its value.
    #[inline(always)]
    pub(crate) fn remove(&self, key: u32) -> Option<V> {
        let at = self.position(key)?;
        let value = self.place(at).value.get();
        self.remove_at(at);
        Some(value)
    }

    /// Removes the keys whose values satisfy a condition.
    #[inline(always)]
    pub(crate) fn remove_if(&self, condition: impl Fn(V) -> bool) {
        let mut at = 0;
        while at < self.len.get() {
            if condition(self.place(at).value.get()) {
                self.remove_at(at);
            } else {
                at += 1;
            }
        }
    }

    /// Removes an entry. The last one moves to its place.
    #[inline(always)]
    fn remove_at(&self, at: usize) {
        let last = self.len.get() - 1;
        let (place, moved) = (self.place(at), self.place(last));
        place.key.set(moved.key.get());
        place.value.set(moved.value.get());
        self.len.set(last);
    }

    /// The position of a key in the list.
    #[inline(always)]
    fn position(&self, key: u32) -> Option<usize> {
        (0..self.len.get()).find(|at| self.place(*at).key.get() == key)
    }

    #[inline(always)]
    fn place(&self, at: usize) -> &Place<V> {
        // SAFETY: all callers pass a position below `len`, for which there is room in the buffer.
        unsafe { &*self.places.start().cast::<Place<V>>().add(at) }
    }
}
