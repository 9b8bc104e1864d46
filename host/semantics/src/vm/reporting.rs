//! Reports to the observer what an instance runs outside of the state machines of its streams: events, and the start and end of plugins.
//!
//! The outcome of an HTTP call that was sent for a stream is reported as an event of that stream, and everything else as an event of the
//! plugin. `stream` reports the callbacks for phases. Without an observer, nothing is measured or copied.

use std::time::Instant;

use crate::context::{Context, Services, StreamContext};
use crate::engine::{Callback, Instance, Trap};
use crate::observe::{
    Call, EndedCall, Event, LineRecorder, Measured, Occasion, PluginEvent, PluginOccasion,
    compare_maps,
};
use crate::port::CallOutcome;
use crate::vm::Vm;
use crate::vocabulary::Action;

impl Vm {
    /// Runs code of a plugin that belongs to no stream like [`Vm::enter`], and reports it.
    pub fn enter_for_plugin<R>(
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
    pub fn describe_call(
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

/// Runs the start-up code of an instance, and reports a trap in it as one of the instance's first plugin. Code that succeeds is not
/// reported: its log lines are reported with the configuration of that plugin, which follows.
pub(super) fn report_failed_start<R>(
    services: &Services,
    start: impl FnOnce() -> Result<R, Trap>,
) -> Result<R, Trap> {
    let Some(observer) = &services.observer else {
        return start();
    };
    let begun = Instant::now();
    start().inspect_err(|trap| {
        let recorder = services.recorder.as_ref();
        observer.plugin_event(PluginEvent {
            plugin: services.plugins.first().cloned().unwrap_or_default(),
            worker: services.worker,
            occasion: PluginOccasion::Start,
            trap: Some(trap.message.clone()),
            lines: recorder.map(LineRecorder::take).unwrap_or_default(),
            time: begun.elapsed(),
            // The instance that has counted it does not exist any more.
            fuel: None,
        });
    })
}

/// Describes how an HTTP call has ended.
pub(super) fn describe_end(id: u32, outcome: &CallOutcome) -> EndedCall {
    let status = match outcome {
        CallOutcome::Response(response) => response.headers.status().ok().map(|it| it.as_u16()),
        CallOutcome::Reset => None,
    };
    EndedCall { id, status }
}
