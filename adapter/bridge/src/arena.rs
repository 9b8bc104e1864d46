//! The memory that the bridge keeps: one arena of blocks from the guest's allocator.
//!
//! A block is never freed, moved or resized, because guests differ in what their allocators support beyond a plain
//! allocation. Blocks double in size, and so do the buffers in them, so the memory that has been outgrown is never
//! larger than the memory in use. Nothing here reads the bridge's state: the caller, which has the state, passes the
//! arena.

use core::cell::Cell;

use crate::abi::trap;

/// The size of the first block, in bytes. It holds the bridge's stack, its state, and the buffers that a plugin of
/// typical size needs.
pub(crate) const FIRST_BLOCK: usize = 8192;

/// The alignment of blocks and of everything in them. Go's allocator supports no larger one.
const ALIGN: usize = 8;

#[link(wasm_import_module = "cabi")]
unsafe extern "C" {
    /// Allocates memory that the guest never reclaims.
    #[link_name = "keep"]
    safe fn cabi_keep(old: usize, old_size: usize, align: usize, size: usize) -> usize;
}

/// Allocates a block that the bridge keeps forever. Traps if the guest has no memory left.
#[inline(always)]
pub(crate) fn block(size: usize) -> usize {
    // The old pointer is always null: some allocators trap on any other.
    let start = cabi_keep(0, 0, ALIGN, size);
    if start == 0 || !start.is_multiple_of(ALIGN) {
        trap()
    }
    start
}

/// The unused part of the newest block.
#[repr(C)]
pub(crate) struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
    block_size: Cell<usize>,
}

impl Arena {
    /// Starts with the first block, of which the part up to `next` is in use.
    #[inline(always)]
    pub(crate) fn begin(&self, next: usize, end: usize) {
        self.next.set(next);
        self.end.set(end);
        self.block_size.set(FIRST_BLOCK);
    }

    /// Allocates `size` bytes, aligned to 8. Their contents are undefined. `size` is a power of two, and at least 8.
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate(&self, size: usize) -> *mut u8 {
        if self.end.get() - self.next.get() < size {
            // Doubling the largest possible block wraps around to 0, and then `size` is used.
            let block_size = size.max(self.block_size.get().wrapping_mul(2));
            let start = block(block_size);
            self.next.set(start);
            self.end.set(start.wrapping_add(block_size));
            self.block_size.set(block_size);
        }
        let start = self.next.get();
        self.next.set(start + size);
        start as *mut u8
    }
}

/// A buffer in the arena that grows as needed and never shrinks.
#[repr(C)]
pub(crate) struct Buffer {
    start: Cell<*mut u8>,
    capacity: Cell<usize>,
}

impl Buffer {
    /// Makes room for `size` bytes and returns their address. The buffer's contents are kept.
    #[inline(always)]
    pub(crate) fn reserve(&self, arena: &Arena, size: usize) -> *mut u8 {
        if size <= self.capacity.get() && self.capacity.get() != 0 {
            return self.start.get();
        }
        self.grow(arena, size)
    }

    #[cold]
    fn grow(&self, arena: &Arena, size: usize) -> *mut u8 {
        let Some(wanted) = size.max(256).checked_next_power_of_two() else {
            trap()
        };
        let (old, old_capacity) = (self.start.get(), self.capacity.get());
        let new = arena.allocate(wanted);
        // SAFETY: the old bytes and the new ones are different parts of the arena, and the new part is larger.
        unsafe { core::ptr::copy_nonoverlapping(old, new, old_capacity) };
        self.start.set(new);
        self.capacity.set(wanted);
        new
    }

    /// A buffer of memory that is not in the arena, and that has room for `capacity` bytes.
    #[inline(always)]
    pub(crate) fn lent(start: *mut u8, capacity: usize) -> Buffer {
        Buffer {
            start: Cell::new(start),
            capacity: Cell::new(capacity),
        }
    }

    /// Exchanges the memory of two buffers.
    #[inline(always)]
    pub(crate) fn swap(&self, other: &Buffer) {
        other.start.set(self.start.replace(other.start.get()));
        let capacity = self.capacity.replace(other.capacity.get());
        other.capacity.set(capacity);
    }

    /// The address of the buffer. Null before the first `reserve`.
    #[inline(always)]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.get()
    }
}
