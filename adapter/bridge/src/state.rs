//! The state that the bridge keeps between calls, and the functions that allocate it.
//!
//! Rust cannot name a WebAssembly global, so the state's address is read and written by two imported functions, whose
//! calls the linker turns into `global.get` and `global.set`. The parts of the state are described where they are
//! defined: `arena`, `lines`, `map`, `running`, `streams`.

use core::cell::Cell;

use crate::abi::trap;
use crate::arena::{self, Arena, Buffer, FIRST_BLOCK};
use crate::lines::Lines;
use crate::map::Map;
use crate::running::RunningCallback;
use crate::streams::Streams;

/// The size of the bridge's stack, in bytes. A frame takes fewer than 100, and few calls are nested: a callback, a
/// hostcall in it, sometimes another callback and a hostcall inside that, and the host's allocation.
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

/// Everything that lives longer than a call. Initially it is all zeroes.
#[repr(C, align(8))]
pub(crate) struct State {
    /// Where the host writes a time, or another number of eight bytes.
    pub(crate) time: Cell<u64>,
    /// Where the host writes the address of what it allocated.
    pub(crate) data: Cell<u32>,
    /// Where the host writes the size of what it allocated.
    pub(crate) size: Cell<u32>,

    /// The callback that is running.
    pub(crate) running: Cell<RunningCallback>,

    /// Who will own what the host allocates next.
    pub(crate) owner: Cell<Owner>,
    /// Bytes that are used within one hostcall.
    pub(crate) scratch: Buffer,
    pub(crate) arena: Arena,

    /// The configured plugins: their plugin contexts, by the ids of their root contexts. One module may be deployed
    /// several times, and a worker then runs all of them in one instance.
    pub(crate) plugins: Map<u32>,
    pub(crate) streams: Streams,

    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,

    /// The HTTP calls in progress that were sent for streams: the streams, by the numbers of the calls.
    pub(crate) stream_calls: Map<CallingStream>,
    /// Whether some of them may belong to plugins that were deleted.
    pub(crate) has_cancelled_calls: Cell<bool>,
    /// A second buffer for bytes that are used within one hostcall.
    pub(crate) second_scratch: Buffer,

    /// The last stream to which the running event has sent a local response, or 0.
    pub(crate) answering: Cell<u32>,
}

/// A stream for which an HTTP call was sent. It may have ended.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CallingStream {
    pub(crate) id: u32,
    /// The root context of its plugin.
    pub(crate) root: u32,
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

/// What [`get`] returns while the state is being allocated. 0 means that it has not been allocated yet.
const ALLOCATING: usize = 1;

/// The state. It exists whenever an export reaches this function: `_initialize` allocates it, and if the guest's start
/// code may call the export before that, the linker inserts a call of [`allocate`] at the beginning of the export.
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

    /// Updates the record of the running callback.
    #[inline(always)]
    pub(crate) fn update_running(&self, change: impl FnOnce(&mut RunningCallback)) {
        let mut running = self.running.get();
        change(&mut running);
        self.running.set(running);
    }
}

/// Runs the start code of the guest's modules, then allocates memory for the bridge with the guest's allocator.
///
/// The order matters: a guest's allocator may depend on its start code.
#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    start();
    if get().is_null() {
        allocate();
    }
}

/// Allocates memory for the bridge's stack and state with the guest's allocator.
///
/// The stack must not be touched until `set_stack` has been called, so no local here has an address.
#[unsafe(export_name = "state#allocate")]
extern "C" fn allocate() {
    // The guest's allocator made a hostcall that needs the state. The component model forbids that, too.
    if get().addr() == ALLOCATING {
        trap()
    }
    set(core::ptr::without_provenance(ALLOCATING));
    let start = arena::block(FIRST_BLOCK);
    // The block is aligned to 8, and a stack has to be aligned to 16.
    let top = (start + STACK_SIZE) & !15;
    set_stack(top);
    // SAFETY: the state fits into the block after the stack, and zeroes are a valid `State`.
    unsafe { core::ptr::write_bytes(top as *mut State, 0, 1) };
    set(top as *const State);
    state()
        .arena
        .begin(top + size_of::<State>(), start + FIRST_BLOCK);
}

/// The marker of the ABI version that the module implements. The host looks for the name and never calls the function.
#[unsafe(export_name = "proxy_abi_version_0_2_1")]
extern "C" fn abi_version() {}
