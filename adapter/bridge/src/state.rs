//! What the bridge remembers between calls, and the call that sets it up.
//!
//! Rust cannot name a wasm global, so the state's address is kept by two functions that the linker turns into
//! `global.get` and `global.set`. The parts of the state are described where they are used: `contexts`, `memory`,
//! `output`.

use core::cell::Cell;

use crate::contexts::{Call, Plugins, Streams};
use crate::memory::{self, Buffer, STACK_SIZE};
use crate::output::Lines;

/// Everything that lives longer than a call. All zeroes is its beginning.
#[repr(C, align(8))]
pub(crate) struct State {
    /// Where the host writes a time, or another number of eight bytes.
    pub(crate) time: Cell<u64>,
    /// Where the host writes the address of what it allocated.
    pub(crate) data: Cell<u32>,
    /// Where the host writes the size of what it allocated.
    pub(crate) size: Cell<u32>,

    /// What is running.
    pub(crate) call: Cell<Call>,

    /// Whether the host's next allocation is only read here, and so may go to `scratch`.
    pub(crate) allocate_scratch: Cell<bool>,
    /// Bytes that nobody owns beyond a call.
    pub(crate) scratch: Buffer,

    pub(crate) plugins: Plugins,
    pub(crate) streams: Streams,

    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

#[link(wasm_import_module = "state")]
unsafe extern "C" {
    safe fn get() -> *const State;
    safe fn set(state: *const State);
    #[link_name = "set-stack"]
    safe fn set_stack(top: usize);
}

#[link(wasm_import_module = "cabi")]
unsafe extern "C" {
    safe fn start();
}

/// The state, for every function but `_initialize`.
#[inline(always)]
pub(crate) fn state() -> &'static State {
    // SAFETY: the host calls `_initialize` before all else and it sets the address; the state is never freed or moved,
    // and only shared references to it exist.
    unsafe { &*get() }
}

/// Takes a stack and the state from the guest, then starts the guest's modules.
///
/// Until `set_stack` was called no stack may be touched, so nothing here has an address.
#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    let taken = memory::keep(
        core::ptr::null_mut(),
        0,
        16,
        STACK_SIZE + size_of::<State>(),
    );
    // An allocator that ignores alignment gives eight bytes at least; a stack wants sixteen.
    let top = (taken as usize + STACK_SIZE) & !15;
    set_stack(top);
    let state = top as *mut State;
    // SAFETY: `top` lies at most `STACK_SIZE` bytes into the allocation, so the state fits behind it; zeroes are a
    // valid `State`.
    unsafe { core::ptr::write_bytes(state, 0, 1) };
    set(state);
    start();
}

/// Which ABI the module speaks. The host looks for the name and never calls it.
#[unsafe(export_name = "proxy_abi_version_0_2_1")]
extern "C" fn abi_version() {}
