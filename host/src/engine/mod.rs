//! What runs plugins: two engines behind one trait, so that the state machine, and its tests, need not know which.
//!
//! `component` and `proxy_wasm` are thin: they carry callbacks in and hostcalls out, and what those mean is elsewhere
//! (`stream`, `hostcalls`). `crate::vm` is one instance with all its contexts, and what becomes of it when it traps.

mod compiler;
pub(crate) mod component;
mod limiter;
mod proxy_wasm;
mod trap;

use std::rc::Rc;

pub use self::compiler::CodeCache;
pub(crate) use self::compiler::Compiler;
pub use self::proxy_wasm::UNSUPPORTED;

use crate::context::{Context, Services};
use crate::vocabulary::{Action, Phase};

/// Compiled code, shared by all workers.
pub(crate) trait Compiled: Send + Sync {
    /// The callbacks that the code exports.
    fn callbacks(&self) -> Callbacks;

    /// Makes an instance and runs its start-up code. Its plugins are not configured yet.
    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn Instance>, Trap>;
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

    /// Runs a callback. A callback that the plugin does not export continues.
    fn call(&mut self, filter: Filter<'_>, callback: Callback) -> Result<Action, Trap>;

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

/// A callback of a stream, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    RequestHeaders { count: u32, end: bool },
    RequestBody { size: u32, end: bool },
    RequestTrailers { count: u32 },
    ResponseHeaders { count: u32, end: bool },
    ResponseBody { size: u32, end: bool },
    ResponseTrailers { count: u32 },
    Log,
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

impl Callback {
    /// Creates the callback for a phase. `count` is the number of fields, or of bytes.
    pub(crate) fn new(phase: Phase, count: u32, end: bool) -> Self {
        match phase {
            Phase::RequestHeaders => Self::RequestHeaders { count, end },
            Phase::RequestBody => Self::RequestBody { size: count, end },
            Phase::RequestTrailers => Self::RequestTrailers { count },
            Phase::ResponseHeaders => Self::ResponseHeaders { count, end },
            Phase::ResponseBody => Self::ResponseBody { size: count, end },
            Phase::ResponseTrailers => Self::ResponseTrailers { count },
            Phase::Log => Self::Log,
        }
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
