//! What the bridge remembers between calls, and the calls that set it up.
//!
//! Rust cannot name a WebAssembly global, so the state's address is kept by two functions that the linker turns into
//! `global.get` and `global.set`. The parts of the state are described where they are defined: `arena`, `call`, `lines`,
//! `plugins`, `streams`.

use core::cell::Cell;

use crate::abi::trap;
use crate::arena::{self, Arena, Buffer, FIRST_BLOCK};
use crate::call::Call;
use crate::lines::Lines;
use crate::plugins::Plugins;
use crate::streams::Streams;

/// The size of the bridge's stack, in bytes. A frame has fewer than 100, and few calls are nested: a callback, a hostcall
/// in it, at times another callback and a hostcall inside that, and the host's allocation.
const STACK_SIZE: usize = 2048;

/// Who will own what the host allocates next.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum Owner {
    /// The guest, as the result of a hostcall.
    Caller,
    /// The guest, as an argument of a callback.
    Callee,
    /// The bridge, until the next hostcall: the bytes go to the scratch buffer.
    Bridge,
}

/// Everything that lives longer than a call. It begins as all zeroes.
#[repr(C, align(8))]
pub(crate) struct State {
    /// Where the host writes a time, or another number of eight bytes.
    pub(crate) time: Cell<u64>,
    /// Where the host writes the address of what it allocated.
    pub(crate) data: Cell<u32>,
    /// Where the host writes the size of what it allocated.
    pub(crate) size: Cell<u32>,

    /// The callback that is running.
    pub(crate) call: Cell<Call>,

    /// Who will own what the host allocates next.
    pub(crate) owner: Cell<Owner>,
    /// Bytes that are used within one hostcall.
    pub(crate) scratch: Buffer,
    pub(crate) arena: Arena,

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

/// What [`get`] returns while the state is being allocated. 0 says that nothing has been allocated yet.
const ALLOCATING: usize = 1;

/// The state. Exports that reach this function never run without one: `_initialize` allocates it, and where the guest's
/// start code may call an export before, the linker puts a call of [`allocate`] in front.
#[inline(always)]
pub(crate) fn state() -> &'static State {
    // SAFETY: see above; the state is never freed or moved, and only shared references to it exist.
    unsafe { &*get() }
}

impl State {
    /// Room for `size` bytes that are used within one hostcall.
    #[inline(never)]
    pub(crate) fn scratch(&self, size: usize) -> *mut u8 {
        self.scratch.reserve(&self.arena, size)
    }

    /// Changes the running callback's record.
    #[inline(always)]
    pub(crate) fn update_call(&self, change: impl FnOnce(&mut Call)) {
        let mut call = self.call.get();
        change(&mut call);
        self.call.set(call);
    }
}

/// Runs the start code of the guest's modules, then takes memory for the bridge from the guest's allocator.
///
/// The order matters: a guest's allocator may depend on its start code.
#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    start();
    if get().is_null() {
        allocate();
    }
}

/// Takes memory for the bridge's stack and state from the guest's allocator.
///
/// Until `set_stack` has been called no stack may be touched, so nothing here has an address.
#[unsafe(export_name = "state#allocate")]
extern "C" fn allocate() {
    // The guest's allocator called a hostcall that needs the state. The component model forbids that too.
    if get().addr() == ALLOCATING {
        trap()
    }
    set(core::ptr::without_provenance(ALLOCATING));
    let start = arena::block(FIRST_BLOCK);
    // The block is aligned to 8, and a stack has to be aligned to 16.
    let top = (start + STACK_SIZE) & !15;
    set_stack(top);
    // SAFETY: the state fits into the block behind the stack, and zeroes are a valid `State`.
    unsafe { core::ptr::write_bytes(top as *mut State, 0, 1) };
    set(top as *const State);
    state()
        .arena
        .begin(top + size_of::<State>(), start + FIRST_BLOCK);
}

/// Which version of the ABI the module speaks. The host looks for the name and never calls it.
#[unsafe(export_name = "proxy_abi_version_0_2_1")]
extern "C" fn abi_version() {}
