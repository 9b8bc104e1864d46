//! The table of live streams, by context id.
//!
//! It is a hash table with open addressing, because a worker can have tens of thousands of streams. A stream's handle
//! is its context id. A stream that is not in the table has ended, and the host is not asked about it: for a context
//! that no longer exists, the host would use the one that is running.

use core::cell::Cell;

use crate::arena::Arena;

// What has happened to a stream, as bits of `Stream::marks`. Bits of the response half are shifted left by one more.

/// Its filter has been constructed.
pub(crate) const CONSTRUCTED: u32 = 1;
/// A callback paused the request.
pub(crate) const PAUSED: u32 = 1 << 1;
/// A response was sent, or its headers were passed on, so there can be no other.
pub(crate) const ANSWERED: u32 = 1 << 5;
/// The running event has sent a local response, which takes effect when the event returns.
pub(crate) const ANSWERING: u32 = 1 << 6;
/// The stream has ended, and nothing can be changed anymore.
pub(crate) const ENDED: u32 = 1 << 7;
/// It was reset.
pub(crate) const RESET: u32 = 1 << 8;
/// The host has deleted it, but a callback of its filter is still running.
pub(crate) const DELETED: u32 = 1 << 9;
/// The host has called for `on-log`, but a callback of its filter is still running.
pub(crate) const LOG_PENDING: u32 = 1 << 10;
/// The lowest bit of the number of the filter's callbacks that are running. The host may call one during a hostcall of
/// another.
const RUNNING: u32 = 1 << 11;

/// A live HTTP stream.
#[repr(C, align(8))]
pub(crate) struct Stream {
    /// The context id. 0 if the place in the table is free.
    id: Cell<u32>,
    root: Cell<u32>,
    pub(crate) filter: Cell<u32>,
    marks: Cell<u32>,
}

impl Stream {
    #[inline(always)]
    pub(crate) fn root(&self) -> u32 {
        self.root.get()
    }

    #[inline(always)]
    pub(crate) fn has(&self, mark: u32) -> bool {
        self.marks.get() & mark != 0
    }

    /// Counts a callback that begins to run.
    #[inline(always)]
    pub(crate) fn enter(&self) {
        self.marks.set(self.marks.get().wrapping_add(RUNNING));
    }

    /// Counts a callback that has returned.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.marks.set(self.marks.get().wrapping_sub(RUNNING));
    }

    /// Whether a callback is running.
    #[inline(always)]
    pub(crate) fn is_running(&self) -> bool {
        self.marks.get() >= RUNNING
    }

    #[inline(always)]
    pub(crate) fn mark(&self, mark: u32) {
        self.marks.set(self.marks.get() | mark);
    }

    #[inline(always)]
    pub(crate) fn clear(&self, mark: u32) {
        self.marks.set(self.marks.get() & !mark);
    }

    fn copy_from(&self, other: &Stream) {
        let (from, to) = (core::ptr::from_ref(other), core::ptr::from_ref(self));
        // SAFETY: these are two places of a table, which consists of cells.
        unsafe { core::ptr::copy_nonoverlapping(from, to.cast_mut(), 1) }
    }
}

/// The table of live streams.
///
/// A table that was outgrown stays in the arena, so a reference into it never dangles. But streams move within the
/// table whenever one of them ends, so no reference may be held while the guest runs or while the host may call back.
#[repr(C)]
pub(crate) struct Streams {
    places: Cell<*const Stream>,
    /// How far a hash is shifted right to get a place: 32 minus the capacity's binary logarithm. 0 before the first
    /// stream.
    shift: Cell<u32>,
    live: Cell<u32>,
}

impl Streams {
    /// The stream with this id, unless it has ended.
    pub(crate) fn find(&self, id: u32) -> Option<&'static Stream> {
        if self.shift.get() == 0 || id == 0 {
            return None;
        }
        let mut stream = self.place(self.start(id));
        if stream.id.get() != id {
            stream = self.place(self.search(id));
        }
        (stream.id.get() == id && !stream.has(DELETED)).then_some(stream)
    }

    /// The stream with this id, whose callback has just run. It is in the table, even if the host has deleted it.
    #[inline(always)]
    pub(crate) fn running(&self, id: u32) -> &'static Stream {
        self.place(self.search(id))
    }

    /// Adds a stream of the plugin whose root context is `root`.
    pub(crate) fn insert(&self, arena: &Arena, id: u32, root: u32) {
        if self.shift.get() == 0 {
            self.grow(arena, 32 - 6);
        } else if self.live.get() >= self.capacity() / 2 {
            self.grow(arena, self.shift.get() - 1);
        }
        let stream = self.place(self.search(id));
        if stream.id.get() == 0 {
            self.live.set(self.live.get() + 1);
        }
        stream.id.set(id);
        stream.root.set(root);
        stream.marks.set(0);
    }

    /// Removes a stream from the table.
    pub(crate) fn remove(&self, stream: &Stream) {
        // SAFETY: a stream that was found lies in the table.
        let mut gap = unsafe { core::ptr::from_ref(stream).offset_from(self.places.get()) } as u32;
        // A stream that would no longer be found because of the gap is moved into it.
        let last = self.capacity() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & last;
            let stream = self.place(at);
            if stream.id.get() == 0 {
                break;
            }
            let from_start = at.wrapping_sub(self.start(stream.id.get())) & last;
            if from_start >= at.wrapping_sub(gap) & last {
                self.place(gap).copy_from(stream);
                gap = at;
            }
        }
        self.place(gap).id.set(0);
        self.live.set(self.live.get() - 1);
    }

    /// The place where `id` is, or would be inserted.
    #[inline(never)]
    fn search(&self, id: u32) -> u32 {
        let last = self.capacity() - 1;
        let mut at = self.start(id);
        loop {
            let found = self.place(at).id.get();
            if found == id || found == 0 {
                return at;
            }
            at = (at + 1) & last;
        }
    }

    /// The place where the search for `id` starts. Ids are assigned in sequence. The golden ratio spreads them, so that
    /// long-lived streams do not form long runs.
    #[inline(always)]
    fn start(&self, id: u32) -> u32 {
        id.wrapping_mul(0x9e37_79b9) >> self.shift.get()
    }

    #[inline(always)]
    fn capacity(&self) -> u32 {
        1 << (32 - self.shift.get())
    }

    #[inline(always)]
    fn place(&self, at: u32) -> &'static Stream {
        // SAFETY: all callers pass a place below the capacity, as many were allocated, and tables are never freed.
        unsafe { &*self.places.get().add(at as usize) }
    }

    #[cold]
    fn grow(&self, arena: &Arena, shift: u32) {
        let old = self.places.get();
        let old_capacity = if old.is_null() { 0 } else { self.capacity() };
        self.shift.set(shift);
        let size = self.capacity() as usize * size_of::<Stream>();
        let places = arena.allocate(size).cast::<Stream>();
        // SAFETY: the places have just been allocated, and a zeroed place is a free one.
        unsafe { core::ptr::write_bytes(places, 0, self.capacity() as usize) };
        self.places.set(places);
        for at in 0..old_capacity {
            // SAFETY: the old table has that many places and still exists.
            let stream = unsafe { &*old.add(at as usize) };
            if stream.id.get() != 0 {
                self.place(self.search(stream.id.get())).copy_from(stream);
            }
        }
    }
}
