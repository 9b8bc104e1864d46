//! Reports to the observer what an instance runs outside of the state machines of its streams: events, and the start and end of plugins.
//!
//! The outcome of an HTTP call that was sent for a stream is reported as an event of that stream, and everything else as an event of the
//! plugin. `stream` reports the callbacks for phases. Without an observer, nothing is measured or copied.

use crate::context::{Context, StreamContext};
use crate::engine::{Callback, Instance, Trap};
use crate::observe::{
    Call, EndedCall, Event, Measured, Occasion, PluginEvent, PluginOccasion, compare_maps,
};
use crate::port::CallOutcome;
use crate::vm::Vm;
use crate::vocabulary::Action;

impl Vm {
    /// Runs code of a plugin that belongs to no stream like [`Vm::enter`], and reports it.
    pub(crate) fn enter_for_plugin<R>(
        &self,
        plugin: usize,
        occasion: PluginOccasion,
        call: impl FnOnce(&mut dyn Instance) -> Result<R, Trap>,
    ) -> Option<R> {
        let Some(observer) = &self.services.observer else {
            return self.enter(plugin, call);
        };
        let (result, measured) = self.enter_measured(plugin, call);
        let is_event = match occasion {
            PluginOccasion::Start | PluginOccasion::Done | PluginOccasion::End => false,
            PluginOccasion::Tick
            | PluginOccasion::QueueReady { .. }
            | PluginOccasion::HttpCallResponse(_) => true,
        };
        if is_event || !measured.is_silent() {
            let Measured {
                time,
                fuel,
                trap,
                lines,
            } = measured;
            observer.plugin_event(PluginEvent {
                plugin: self.plugin_name(plugin),
                worker: self.services.worker,
                occasion,
                trap,
                lines,
                time,
                fuel,
            });
        }
        result
    }

    /// Describes code that has run for a stream. `action` is `None` if it has trapped.
    pub(crate) fn describe_call(
        &self,
        context: &Context,
        position: usize,
        occasion: Occasion,
        action: Option<Action>,
        measured: Measured,
    ) -> Call {
        let Measured {
            time,
            fuel,
            trap,
            lines,
        } = measured;
        Call {
            plugin: self.plugin_name(context.plugin),
            position,
            occasion,
            end: false,
            fields: Vec::new(),
            body: None,
            outcome: action.ok_or_else(|| {
                trap.unwrap_or_else(|| "its instance had already failed".to_owned())
            }),
            lines,
            time,
            fuel,
        }
    }

    /// Runs the callback of an event, and reports it.
    pub(super) fn call_reported(
        &self,
        context: &Context,
        occasion: PluginOccasion,
        callback: Callback,
    ) -> Option<Action> {
        let call = |instance: &mut dyn Instance| instance.call(context, callback);
        match (&context.stream, occasion) {
            (Some(stream), PluginOccasion::HttpCallResponse(ended)) => {
                self.enter_for_stream(context, stream, ended, call)
            }
            _ => self.enter_for_plugin(context.plugin, occasion, call),
        }
    }

    /// Runs the callback for the outcome of a call that was sent for a stream, and reports it.
    fn enter_for_stream(
        &self,
        context: &Context,
        stream: &StreamContext,
        ended: EndedCall,
        call: impl FnOnce(&mut dyn Instance) -> Result<Action, Trap>,
    ) -> Option<Action> {
        let plugin = context.plugin;
        let StreamContext { shared, filter, .. } = stream;
        let (Some(observer), Some(stream_id)) = (&self.services.observer, shared.observed_as)
        else {
            return self.enter(plugin, call);
        };
        let before = shared.read(|state| state.maps.clone());
        let (action, measured) = self.enter_measured(plugin, call);
        // The callback is for no fields in particular, but can change those of a paused stream.
        let fields = shared.read(|state| compare_maps(before, &state.maps, None));
        let occasion = Occasion::HttpCallResponse(ended);
        let call = Call {
            fields,
            ..self.describe_call(context, *filter, occasion, action, measured)
        };
        observer.event(stream_id, Event::Called(Box::new(call)));
        action
    }

    fn plugin_name(&self, plugin: usize) -> String {
        let name = self.services.plugins.get(plugin);
        name.cloned().unwrap_or_default()
    }
}

/// Describes how an HTTP call has ended.
pub(super) fn describe_end(id: u32, outcome: &CallOutcome) -> EndedCall {
    let status = match outcome {
        CallOutcome::Response(response) => response.headers.status().ok().map(|it| it.as_u16()),
        CallOutcome::Reset => None,
    };
    EndedCall { id, status }
}
