//! The guest's memory: what it allocates for the bridge, and how values are laid out in it.
//!
//! All memory is the guest's, and it comes by two ways. What is handed to the guest comes from the `cabi_realloc` of the
//! canonical options: some guests free all that it gave when a call is over. What the bridge keeps comes from an
//! allocator that forgets what it gave. Neither can free; so what outlives a call grows by doubling, and what does not is
//! put into one scratch buffer that is used again.

use core::cell::Cell;

use crate::state::{State, state};

/// How deep the bridge's own calls may go. A frame is under 100 bytes, and few calls are nested: a callback, a hostcall
/// made in it, at times another callback and a hostcall inside that, and the host's allocation.
pub(crate) const STACK_SIZE: usize = 2048;

#[link(wasm_import_module = "cabi")]
unsafe extern "C" {
    #[link_name = "realloc"]
    fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8;
    #[link_name = "keep"]
    fn cabi_keep(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8;
}

/// Ends the call, and with it the instance: an invariant is broken.
#[cold]
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Memory that stays the bridge's for ever. It is never null.
#[inline(always)]
pub(crate) fn keep(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: `old` is null or was given by this function for `old_size` bytes, in all of its few callers.
    let new = unsafe { cabi_keep(old, old_size, align, size) };
    if new.is_null() {
        trap()
    }
    new
}

/// Memory that the guest will own, of `size` bytes. It is never null.
pub(crate) fn allocate(align: usize, size: usize) -> *mut u8 {
    // Asked for nothing, too: there are guests that give back whatever they were given, and what they give back must be theirs.
    // SAFETY: nothing is given back.
    let new = unsafe { cabi_realloc(core::ptr::null_mut(), 0, align, size) };
    if !new.is_null() {
        return new;
    }
    // An allocator may give null for nothing, and for nothing else.
    if size > 0 {
        trap()
    }
    core::ptr::without_provenance_mut(align)
}

/// Gives the end of what `allocate` gave back, if there is one.
pub(crate) fn shrink(start: *mut u8, align: usize, from: usize, to: usize) -> *mut u8 {
    if from == to {
        return start;
    }
    if to == 0 {
        // What an allocator does with a size of zero differs.
        return allocate(align, 0);
    }
    // SAFETY: the caller got `from` bytes at `start`.
    let new = unsafe { cabi_realloc(start, from, align, to) };
    if new.is_null() {
        trap()
    }
    new
}

/// Called by the host, within a hostcall, for what it wants to hand over.
///
/// The guest owns bytes allocated with alignment 1, which is how a `list<u8>` is lowered: most results are handed on
/// as they are.
#[unsafe(export_name = "proxy_on_memory_allocate")]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let state = state();
    if state.allocate_scratch.get() {
        state.scratch.reserve(size)
    } else {
        allocate(1, size)
    }
}

/// Bytes that grow and are never given back.
#[repr(C)]
pub(crate) struct Buffer {
    start: Cell<*mut u8>,
    capacity: Cell<usize>,
}

impl Buffer {
    /// Room for `size` bytes; what was in the buffer stays in it.
    pub(crate) fn reserve(&self, size: usize) -> *mut u8 {
        let capacity = self.capacity.get();
        if size <= capacity && capacity != 0 {
            return self.start.get();
        }
        let Some(wanted) = size.max(256).checked_next_power_of_two() else {
            trap()
        };
        // Eight is enough for whatever the bridge keeps in a buffer.
        let start = keep(self.start.get(), capacity, 8, wanted);
        self.start.set(start);
        self.capacity.set(wanted);
        start
    }

    /// Where the buffer is; null before the first `reserve`.
    #[inline(always)]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.get()
    }
}

/// Bytes that guest or host passed by address and length.
///
/// # Safety
/// They stay there unchanged for `'a`.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(start: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        // Some languages pass null here, which a slice may not be.
        return &[];
    }
    // SAFETY: the caller's promise; an address outside of memory traps when it is read.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// A guest's list of records, tuples or strings.
///
/// # Safety
/// It stays there unchanged for `'a`, and `T` is laid out as the canonical ABI stores an element.
pub(crate) unsafe fn list<'a, T>(start: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    if start.is_null() || !start.is_aligned() {
        trap()
    }
    // SAFETY: the caller's promise; an address outside of memory traps when it is read.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// What the host allocated last and told through `State::data` and `State::size`.
#[inline(always)]
pub(crate) fn received(state: &State) -> &'static [u8] {
    // SAFETY: the host wrote both in the hostcall just made, and the callers are done with the bytes before another
    // hostcall allocates.
    unsafe { bytes(state.data.get() as *const u8, state.size.get() as usize) }
}

/// A list that the caller said a function should be given, flattened or as stored: first element and length.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct List {
    pub(crate) start: *const u8,
    pub(crate) len: usize,
}

impl List {
    /// A list of no elements, at an address that is not null: guests of some languages expect none that is.
    #[inline(always)]
    pub(crate) fn empty(align: usize) -> List {
        List {
            start: allocate(align, 0),
            len: 0,
        }
    }

    /// What the host handed over, in the guest's ownership.
    ///
    /// For nothing the host allocates nothing and gives null, which no guest expects.
    #[inline(always)]
    pub(crate) fn received(state: &State) -> List {
        let len = state.size.get() as usize;
        if len == 0 {
            List::empty(1)
        } else {
            List {
                start: state.data.get() as *const u8,
                len,
            }
        }
    }

    /// A copy of `bytes` in the guest's ownership.
    pub(crate) fn copied(bytes: &[u8]) -> List {
        let start = allocate(1, bytes.len());
        // SAFETY: `allocate` gave as many bytes as are copied, apart from all others.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
        List {
            start,
            len: bytes.len(),
        }
    }
}

/// Where a function's result goes, when it is more than one core value.
#[derive(Clone, Copy)]
pub(crate) struct Area(*mut u8);

impl Area {
    /// # Safety
    /// `start` points to as many bytes, aligned, as the type that is stored through this needs.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8) -> Area {
        Area(start)
    }

    #[inline(always)]
    pub(crate) fn byte(self, offset: usize, value: u8) {
        // SAFETY: the promise made to `new`.
        unsafe { self.0.add(offset).write(value) }
    }

    #[inline(always)]
    pub(crate) fn word(self, offset: usize, value: u32) {
        // SAFETY: the promise made to `new`.
        unsafe { self.0.add(offset).cast::<u32>().write(value) }
    }

    #[inline(always)]
    pub(crate) fn long(self, offset: usize, value: u64) {
        // SAFETY: the promise made to `new`.
        unsafe { self.0.add(offset).cast::<u64>().write(value) }
    }

    #[inline(always)]
    pub(crate) fn list(self, offset: usize, value: List) {
        self.word(offset, value.start as u32);
        self.word(offset + 4, value.len as u32);
    }
}

/// Eight bytes of `text` from `at` on, zeroes behind its end: text that is stored by instructions needs no data segment.
pub(crate) const fn word(text: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let mut index = 0;
    while index < 8 && at + index < text.len() {
        word[index] = text[at + index];
        index += 1;
    }
    u64::from_le_bytes(word)
}
