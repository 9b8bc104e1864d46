//! What runs plugins: two engines behind one trait, so that the state machine, and its tests, need not know which.
//!
//! `component` and `proxy_wasm` are thin: they carry callbacks in and hostcalls out, and what those mean is elsewhere
//! (`stream`, `hostcalls`). `vm` is one instance with all its contexts, and what becomes of it when it traps.

mod compiler;
pub(crate) mod component;
mod limiter;
mod proxy_wasm;
mod trap;
pub(crate) mod vm;

use std::rc::Rc;

pub use self::compiler::CodeCache;
pub(crate) use self::compiler::Compiler;
pub use self::proxy_wasm::UNSUPPORTED;

use crate::engine::vm::{Context, Surroundings};
use crate::stream::state::{Direction, Phase};

/// Compiled code, shared by all workers.
pub(crate) trait Compiled: Send + Sync {
    /// The callbacks that the code exports.
    fn callbacks(&self) -> Callbacks;

    /// Makes an instance and runs its start-up code. Its plugins are not configured yet.
    fn instantiate(&self, around: &Rc<Surroundings>) -> Result<Box<dyn Instance>, Trap>;
}

/// One instance. Every method may run guest code; after a trap none is called again.
pub(crate) trait Instance {
    /// Creates and configures one of the instance's plugins. The inner error is the plugin's refusal, with its reason.
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap>;

    /// Makes what the plugin keeps for a stream, and says where it is.
    fn open(&mut self, context: &Context) -> Result<usize, Trap>;

    /// Headers of a message have come.
    fn headers(
        &mut self,
        filter: Filter<'_>,
        half: Direction,
        count: u32,
        end: bool,
    ) -> Result<Action, Trap>;

    /// A piece of a body has come.
    fn body(
        &mut self,
        filter: Filter<'_>,
        half: Direction,
        size: u32,
        end: bool,
    ) -> Result<Action, Trap>;

    /// Trailers of a message have come.
    fn trailers(&mut self, filter: Filter<'_>, half: Direction, count: u32)
    -> Result<Action, Trap>;

    /// The stream has ended.
    fn log(&mut self, filter: Filter<'_>) -> Result<(), Trap>;

    /// Drops what the plugin keeps for a stream.
    fn close(&mut self, filter: Filter<'_>) -> Result<(), Trap>;

    /// Ends one of the instance's plugins. It is called when no stream is left.
    fn end(&mut self, context: &Context) -> Result<(), Trap>;

    /// Fills fuel up, where it is counted. It is never what ends a guest.
    fn refuel(&mut self) {}

    /// The fuel burnt since, where it is counted.
    fn burnt(&self) -> Option<u64> {
        None
    }
}

/// A plugin at work on one stream: its context, and what [`Instance::open`] gave.
#[derive(Clone, Copy)]
pub(crate) struct Filter<'a> {
    pub(crate) context: &'a Context,
    pub(crate) slot: usize,
}

/// Why an instance is no more. Its text is for the plugin's log.
#[derive(Debug)]
pub(crate) struct Trap {
    pub(crate) message: String,
}

/// What a callback wants done with its phase. All but the first stop it; they differ in what becomes of bytes that come
/// meanwhile. Components know the first two, Proxy-Wasm modules all that Envoy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes on.
    Continue,
    /// From headers: bytes are kept, and the sender is told to wait when there are too many. From a body: bytes are kept, and
    /// the stream fails when there are too many.
    Pause,
    /// From headers: bytes are kept, and the stream fails when there are too many.
    PauseBuffering,
    /// From a body: bytes are kept, and the sender is told to wait when there are too many.
    PauseWatermark,
    /// From a body: bytes are dropped.
    PauseDropping,
}

/// The callbacks that a plugin exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Callbacks(u8);

impl Callbacks {
    pub(crate) fn with(self, phase: Phase) -> Self {
        Self(self.0 | 1 << phase as u8)
    }

    pub(crate) fn has(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u8 != 0
    }
}

impl Trap {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Fills a store's fuel up, if its code was compiled to count it. There is more than any deadline lets a guest burn.
fn refuel<T>(store: &mut wasmtime::Store<T>) {
    // It fails only where fuel is not counted.
    let _ = store.set_fuel(u64::MAX);
}
