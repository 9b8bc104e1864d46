//! A map from numbers to numbers, for the configured plugins and for the HTTP calls in progress.
//!
//! It is an unsorted list that is searched from the front. That is the fastest form for a few entries, and there are
//! only a few: a worker runs each deployment of a module once, and the time that a call takes limits how many are in
//! progress. Streams, of which there may be tens of thousands, are in the hash table `streams`.

use core::cell::Cell;

use crate::arena::{Arena, Buffer};

/// An entry of the list.
#[repr(C)]
struct Place {
    key: Cell<u32>,
    value: Cell<u32>,
}

/// A map from numbers to numbers.
#[repr(C)]
pub(crate) struct Map {
    places: Buffer,
    len: Cell<usize>,
}

// Inlined, because most plugins use each of these functions in one place, and then they are smaller.
impl Map {
    /// The value of this key.
    #[inline(always)]
    pub(crate) fn find(&self, key: u32) -> Option<u32> {
        self.place_of(key).map(|place| place.value.get())
    }

    /// Stores a value, and returns the one that the key had before.
    #[inline(always)]
    pub(crate) fn put(&self, arena: &Arena, key: u32, value: u32) -> Option<u32> {
        if let Some(place) = self.place_of(key) {
            return Some(place.value.replace(value));
        }
        let len = self.len.get();
        self.places.reserve(arena, (len + 1) * size_of::<Place>());
        self.len.set(len + 1);
        let place = self.place(len);
        place.key.set(key);
        place.value.set(value);
        None
    }

    /// Removes the key, and returns its value. The last entry moves to its place.
    #[inline(always)]
    pub(crate) fn remove(&self, key: u32) -> Option<u32> {
        let place = self.place_of(key)?;
        let value = place.value.get();
        let last = self.len.get() - 1;
        place.key.set(self.place(last).key.get());
        place.value.set(self.place(last).value.get());
        self.len.set(last);
        Some(value)
    }

    #[inline(always)]
    fn place_of(&self, key: u32) -> Option<&Place> {
        (0..self.len.get())
            .map(|at| self.place(at))
            .find(|place| place.key.get() == key)
    }

    #[inline(always)]
    fn place(&self, at: usize) -> &Place {
        // SAFETY: all callers pass a place below `len`, for which there is room in the buffer.
        unsafe { &*self.places.start().cast::<Place>().add(at) }
    }
}
