//! Values that pass between the guest and the bridge: how they are read, checked and laid out.
//!
//! Memory that the guest will own is allocated by the `cabi_realloc` of the canonical options, and never touched again.
//! Memory that the bridge keeps is not allocated here but in `arena`.
//!
//! The checks are those of the canonical ABI: a value that violates its type ends the instance, as it does in a
//! component runtime.

use crate::abi::{self, trap};
use crate::arena::Buffer;
use crate::state::{Owner, State, state};
use crate::text;

#[link(wasm_import_module = "cabi")]
unsafe extern "C" {
    /// Allocates what the guest will own as the result of a hostcall.
    #[link_name = "import-realloc"]
    safe fn import_realloc(old: usize, old_size: usize, align: usize, size: usize) -> *mut u8;
}

#[link(wasm_import_module = "guest-realloc")]
unsafe extern "C" {
    /// Allocates what the guest will own as an argument of `configure`. Those for other callbacks are in
    /// `http_call_types`.
    #[link_name = "plugin#[static]plugin-context.configure"]
    safe fn configure_realloc(old: usize, old_size: usize, align: usize, size: usize) -> *mut u8;
}

/// Allocates `size` bytes that the guest will own as the result of a hostcall. Null only if `size` is 0.
pub(crate) fn allocate(align: usize, size: usize) -> *mut u8 {
    // The allocator is called even for 0 bytes, because some guests free everything that they receive.
    check_allocation(import_realloc(0, 0, align, size), align, size)
}

/// Allocates `size` bytes that the guest will own as the `list<u8>` argument of `configure`. Null only if `size` is 0.
pub(crate) fn allocate_argument(size: usize) -> *mut u8 {
    check_allocation(configure_realloc(0, 0, 1, size), 1, size)
}

/// Traps if an allocator of the guest returned null for more than 0 bytes, or an address that is not aligned.
#[inline(always)]
pub(crate) fn check_allocation(start: *mut u8, align: usize, size: usize) -> *mut u8 {
    if start.is_null() && size > 0 || start.addr() & (align - 1) != 0 {
        trap()
    }
    start
}

/// Called by the host, during a hostcall, to allocate memory for what it returns.
///
/// The guest owns bytes allocated with alignment 1, which is how a `list<u8>` is lowered, so most results are passed on
/// without a copy.
#[unsafe(export_name = "proxy_on_memory_allocate")]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let state = state();
    match state.owner.get() {
        Owner::Caller => allocate(1, size),
        Owner::Callee => allocate_argument(size),
        Owner::Bridge => state.scratch(size),
    }
}

/// Bytes that the guest or the host passed by address and length.
///
/// # Safety
/// The bytes stay there, unchanged, for `'a`.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(start: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        // Some languages pass null here, which is not allowed in a slice.
        return &[];
    }
    // SAFETY: guaranteed by the caller; an address outside memory traps when it is read.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// A `string` that the guest passed. Traps if it is not UTF-8.
///
/// # Safety
/// See [`bytes`].
#[inline(always)]
pub(crate) unsafe fn string<'a>(start: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: guaranteed by the caller.
    let string = unsafe { bytes(start, len) };
    text::check(string);
    string
}

/// A list of records, tuples or strings that the guest passed. Traps if it is not aligned.
///
/// # Safety
/// The list stays there, unchanged, for `'a`, and `T` is laid out as the canonical ABI stores an element.
pub(crate) unsafe fn list<'a, T>(start: *const T, len: usize) -> &'a [T] {
    if !start.is_aligned() {
        trap()
    }
    if len == 0 {
        return &[];
    }
    if start.is_null() {
        trap()
    }
    // SAFETY: guaranteed by the caller; an address outside memory traps when it is read.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Checks the discriminant of an enum, or of a `bool`, `option` or `result` if `cases` is 2. Traps if it is out of
/// range.
#[inline(always)]
pub(crate) fn discriminant(value: u32, cases: u32) -> u32 {
    if value >= cases { trap() } else { value }
}

/// The bytes that the host allocated last, whose address and size are in `State::data` and `State::size`.
#[inline(always)]
pub(crate) fn received(state: &State) -> &'static [u8] {
    // SAFETY: the host wrote both in the hostcall just made, and the callers have finished with the bytes before another
    // hostcall allocates.
    unsafe { bytes(state.data.get() as *const u8, state.size.get() as usize) }
}

/// Makes a hostcall in which the host allocates from the scratch buffer.
#[inline(always)]
pub(crate) fn into_scratch(
    state: &State,
    hostcall: impl FnOnce(*mut u32, *mut u32) -> abi::Status,
) -> abi::Status {
    receive(state, Owner::Bridge, hostcall)
}

/// Makes a hostcall in which the host allocates memory that the guest will own as an argument of a callback.
#[inline(always)]
pub(crate) fn into_argument(
    state: &State,
    hostcall: impl FnOnce(*mut u32, *mut u32) -> abi::Status,
) -> abi::Status {
    receive(state, Owner::Callee, hostcall)
}

/// Makes a hostcall in which the host returns `size` bytes, and has it write them to `place`, where there is room for
/// them. Returns whether it did.
///
/// During the hostcall, the scratch buffer is that place. An owner of its own for such bytes would make
/// `proxy_on_memory_allocate` larger, which is part of every module.
#[inline(always)]
pub(crate) fn into_place(
    state: &State,
    place: *mut u8,
    size: usize,
    hostcall: impl FnOnce(*mut u32, *mut u32) -> abi::Status,
) -> bool {
    let lent = Buffer::lent(place, size);
    state.scratch.swap(&lent);
    let status = into_scratch(state, hostcall);
    state.scratch.swap(&lent);
    let (data, len) = (state.data.get() as usize, state.size.get() as usize);
    status == abi::OK && data == place.addr() && len == size
}

#[inline(always)]
fn receive(
    state: &State,
    owner: Owner,
    hostcall: impl FnOnce(*mut u32, *mut u32) -> abi::Status,
) -> abi::Status {
    state.owner.set(owner);
    let status = hostcall(state.data.as_ptr(), state.size.as_ptr());
    state.owner.set(Owner::Caller);
    status
}

/// A list as the canonical ABI stores it: the address of its first element, and the number of elements.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct List {
    pub(crate) start: *const u8,
    pub(crate) len: usize,
}

impl List {
    /// An empty list. Its address is the one that the guest's allocator returns for 0 bytes.
    #[inline(always)]
    pub(crate) fn empty(align: usize) -> List {
        List {
            start: allocate(align, 0),
            len: 0,
        }
    }

    /// The bytes that the host returned from a hostcall, owned by the guest.
    #[inline(always)]
    pub(crate) fn received(state: &State) -> List {
        let len = state.size.get() as usize;
        if len == 0 {
            // In this case the host allocates nothing and returns null.
            List::empty(1)
        } else {
            List {
                start: state.data.get() as *const u8,
                len,
            }
        }
    }

    /// A copy of `bytes` in memory from `allocate`, which has the parameters of [`allocate`](self::allocate).
    #[inline(never)]
    pub(crate) fn copied(bytes: &[u8], allocate: impl Fn(usize, usize) -> *mut u8) -> List {
        let start = allocate(1, bytes.len());
        // SAFETY: `allocate` returned as many bytes as are copied, and they overlap no others.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
        List {
            start,
            len: bytes.len(),
        }
    }
}

/// Where a function's result is stored, if it takes more than one core value.
#[derive(Clone, Copy)]
pub(crate) struct RetPtr(*mut u8);

impl RetPtr {
    /// # Safety
    /// `start` points to enough bytes, suitably aligned, for the type that is stored through this pointer.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8) -> RetPtr {
        RetPtr(start)
    }

    #[inline(always)]
    pub(crate) fn byte(self, offset: usize, value: u8) {
        // SAFETY: guaranteed by the caller of `new`.
        unsafe { self.0.add(offset).write(value) }
    }

    #[inline(always)]
    pub(crate) fn word(self, offset: usize, value: u32) {
        // SAFETY: guaranteed by the caller of `new`.
        unsafe { self.0.add(offset).cast::<u32>().write(value) }
    }

    #[inline(always)]
    pub(crate) fn long(self, offset: usize, value: u64) {
        // SAFETY: guaranteed by the caller of `new`.
        unsafe { self.0.add(offset).cast::<u64>().write(value) }
    }

    #[inline(always)]
    pub(crate) fn list(self, offset: usize, value: List) {
        self.word(offset, value.start as u32);
        self.word(offset + 4, value.len as u32);
    }
}
