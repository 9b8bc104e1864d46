//! What runs a plugin, as a trait: the state machine and its tests depend on no particular engine.
//!
//! An engine passes callbacks to the plugin, and the plugin's hostcalls to `hostcalls`. It makes no decisions. The engines for WebAssembly
//! are in the crate `tidegate-host`, and the one for plugins that are compiled for the machine on which their tests run is in the SDK.
//! `crate::vm` is one instance with all its contexts, and handles its traps.

use std::rc::Rc;

use crate::context::{Context, Services};
use crate::port::CallOutcome;
use crate::vocabulary::{Action, Phase};

/// Compiled code, shared by all workers.
pub trait Compiled: Send + Sync {
    /// Returns the callbacks that the code exports.
    fn callbacks(&self) -> Callbacks;

    /// Creates an instance and runs its startup code. Its plugins are not configured yet.
    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn Instance>, Trap>;
}

/// An instance. All methods except `refuel` and `consumed_fuel` may run guest code. After a trap, only `consumed_fuel`
/// is called.
pub trait Instance {
    /// Creates and configures one of the instance's plugins. The inner error is the reason why the plugin rejects its
    /// configuration.
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap>;

    /// Creates the plugin's state for a stream, and returns its slot.
    fn open_stream(&mut self, context: &Context) -> Result<usize, Trap>;

    /// Runs a callback of a stream or of a plugin, depending on the context. The result is [`Action::Continue`] if the plugin does not
    /// export the callback, or if the callback returns no action. For [`Callback::PluginDone`], it is [`Action::Pause`] if the plugin has
    /// something left to do.
    fn call(&mut self, context: &Context, callback: Callback) -> Result<Action, Trap>;

    /// Drops the plugin's state for a stream.
    fn close_stream(&mut self, context: &Context) -> Result<(), Trap>;

    /// Drops one of the instance's plugins. It is called when no stream is left, and the plugin is done.
    fn shut_down(&mut self, context: &Context) -> Result<(), Trap>;

    /// Refills the fuel, if fuel is counted. A guest is never stopped for lack of fuel.
    fn refuel(&mut self) {}

    /// Returns the fuel consumed since the last `refuel`, if fuel is counted.
    fn consumed_fuel(&self) -> Option<u64> {
        None
    }
}

/// A callback with its arguments.
pub enum Callback {
    RequestHeaders {
        count: u32,
        end: bool,
    },
    RequestBody {
        size: u32,
        end: bool,
    },
    RequestTrailers {
        count: u32,
    },
    ResponseHeaders {
        count: u32,
        end: bool,
    },
    ResponseBody {
        size: u32,
        end: bool,
    },
    ResponseTrailers {
        count: u32,
    },
    Log,
    /// An HTTP call has ended.
    HttpCallResponse {
        call: u32,
        /// Boxed, so that the callbacks of a stream's phases, which are called most, are small and need no drop.
        outcome: Box<CallOutcome>,
    },
    /// A period of the plugin's timer has passed.
    Tick,
    /// A value has been added to a queue that the plugin has registered.
    QueueReady {
        queue: u32,
    },
    /// The plugin is about to be dropped.
    PluginDone,
}

/// The reason why an instance has failed. Its message is written to the plugin's log.
#[derive(Debug)]
pub struct Trap {
    pub message: String,
}

/// A callback that belongs to no phase of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventCallback {
    /// An HTTP call that was sent for a stream has ended.
    StreamCallResponse,
    /// An HTTP call that was sent for the plugin has ended.
    PluginCallResponse,
    Tick,
    QueueReady,
    PluginDone,
}

/// The callbacks that a plugin exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callbacks(u16);

/// The lowest bit of [`Callbacks`] for events. Those below are for phases.
const FIRST_EVENT: u16 = 8;

impl Callbacks {
    #[inline]
    pub fn with(self, phase: Phase) -> Self {
        Self(self.0 | 1 << phase as u16)
    }

    #[inline]
    pub fn has(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u16 != 0
    }

    pub fn with_event(self, event: EventCallback) -> Self {
        Self(self.0 | 1 << (FIRST_EVENT + event as u16))
    }

    fn has_event(self, event: EventCallback) -> bool {
        self.0 & 1 << (FIRST_EVENT + event as u16) != 0
    }

    /// Returns whether the plugin exports the callback. `of_stream` means that a stream receives it, and not the plugin.
    #[inline]
    pub fn include(self, callback: &Callback, of_stream: bool) -> bool {
        match callback {
            Callback::RequestHeaders { .. } => self.has(Phase::RequestHeaders),
            Callback::RequestBody { .. } => self.has(Phase::RequestBody),
            Callback::RequestTrailers { .. } => self.has(Phase::RequestTrailers),
            Callback::ResponseHeaders { .. } => self.has(Phase::ResponseHeaders),
            Callback::ResponseBody { .. } => self.has(Phase::ResponseBody),
            Callback::ResponseTrailers { .. } => self.has(Phase::ResponseTrailers),
            Callback::Log => self.has(Phase::Log),
            Callback::HttpCallResponse { .. } => self.has_event(match of_stream {
                true => EventCallback::StreamCallResponse,
                false => EventCallback::PluginCallResponse,
            }),
            Callback::Tick => self.has_event(EventCallback::Tick),
            Callback::QueueReady { .. } => self.has_event(EventCallback::QueueReady),
            Callback::PluginDone => self.has_event(EventCallback::PluginDone),
        }
    }
}

impl Callback {
    /// Creates the callback for a phase of a stream. `count` is the number of fields, or of bytes.
    #[inline]
    pub fn new(phase: Phase, count: u32, end: bool) -> Self {
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
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exported_callbacks_are_included() {
        let exported = Callbacks::default()
            .with(Phase::Log)
            .with_event(EventCallback::PluginCallResponse)
            .with_event(EventCallback::QueueReady);
        let response = || Callback::HttpCallResponse {
            call: 4,
            outcome: Box::new(CallOutcome::Reset),
        };
        assert!(exported.include(&Callback::Log, true));
        assert!(!exported.include(&Callback::new(Phase::RequestHeaders, 1, true), true));
        assert!(!exported.include(&Callback::new(Phase::ResponseTrailers, 1, true), true));
        assert!(exported.include(&response(), false));
        assert!(!exported.include(&response(), true));
        assert!(exported.include(&Callback::QueueReady { queue: 1 }, false));
        assert!(!exported.include(&Callback::Tick, false));
    }
}
