//! A single callback: binding the plugin to an instance, preparing the call, and handling its failure.

use crate::context::StreamContext;
use crate::engine::{self, Callback};
use crate::observe::Occasion;
use crate::plugin::FailurePolicy;
use crate::state::local_response::LocalResponse;
use crate::state::{Command, FilterState, State};
use crate::stream::reporter::CallbackSite;
use crate::stream::{Binding, Stream};
use crate::vocabulary::{Action, Direction, FieldMap, Phase};

impl Stream {
    /// Calls the callback of a plugin for a phase. Returns `Continue` if the plugin does not have the callback, or if
    /// its instance has failed and its failure policy is `Open`.
    pub(super) fn call(&mut self, index: usize, phase: Phase, end: bool) -> Action {
        if !self.ensure_bound(index, phase) {
            return self.handle_unavailable_instance(index);
        }
        let Some(filter) = self.filters.get(index) else {
            return Action::Continue;
        };
        let Binding::Bound { vm, context } = &filter.binding else {
            return Action::Continue;
        };
        if vm.is_dead() {
            return self.handle_unavailable_instance(index);
        }
        if !vm.callbacks().has(phase) {
            return Action::Continue;
        }
        let (_, map) = phase.direction_and_map();
        let argument = self
            .shared
            .change(|state| state.begin_callback(index, phase, end, map));
        let callback = Callback::new(phase, argument, end);
        let run = |instance: &mut dyn engine::Instance| instance.call(context, callback);
        let result = match &self.reporter {
            None => vm.enter(context.plugin, run),
            Some(reporter) => {
                let site = CallbackSite {
                    shared: &self.shared,
                    index,
                    phase,
                    end,
                };
                reporter.callback(vm, context, site, run)
            }
        };
        self.with_state(|state| state.end_callback(index, phase, map, result));
        // As in Envoy, the stream on which the trap occurred fails regardless of the failure policy.
        result.unwrap_or_else(|| self.fail_stream(index))
    }

    /// Drops the plugin's filter for this stream.
    pub(super) fn close_filter(&mut self, index: usize) {
        let Some(filter) = self.filters.get_mut(index) else {
            return;
        };
        if let Binding::Bound { vm, context } =
            std::mem::replace(&mut filter.binding, Binding::Detached)
        {
            // A trap here fails no stream: the instance's other streams are woken, and this stream has already ended.
            let close = |instance: &mut dyn engine::Instance| instance.close_stream(&context);
            let closed: Option<()> = match &self.reporter {
                None => vm.enter(context.plugin, close),
                Some(reporter) => {
                    reporter.lifecycle_call(&vm, &context, index, Occasion::Close, close)
                }
            };
            if closed.is_none() {
                self.chain.schedule_restart(index);
            }
            vm.services().contexts.remove(context.id);
        }
    }

    pub(super) fn with_state<R: Default>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.shared.change(change)
    }

    /// Creates the plugin's context, if it has none and `phase` is the request headers or the log phase. A plugin that
    /// the request headers have not reached gets its context only for the log phase, and no callback before that.
    /// Returns `false` if no instance is available.
    fn ensure_bound(&mut self, index: usize, phase: Phase) -> bool {
        let Some(filter) = self.filters.get_mut(index) else {
            return true;
        };
        if !matches!(filter.binding, Binding::Unbound)
            || !matches!(phase, Phase::RequestHeaders | Phase::Log)
        {
            return true;
        }
        let Some((vm, plugin)) = self.chain.instance(index) else {
            return false;
        };
        let stream = StreamContext {
            shared: self.shared.clone(),
            filter: index,
            slot: 0,
        };
        let mut context = vm.services().contexts.add(plugin, Some(stream));
        let open = |instance: &mut dyn engine::Instance| instance.open_stream(&context);
        let slot = match &self.reporter {
            None => vm.enter(plugin, open),
            Some(reporter) => reporter.lifecycle_call(&vm, &context, index, Occasion::Open, open),
        };
        if let Some(slot) = slot {
            vm.services().contexts.set_slot(&mut context, slot);
            filter.binding = Binding::Bound { vm, context };
        }
        slot.is_some()
    }

    /// Handles an instance that is dead or not available: the stream bypasses the plugin or fails, depending on the
    /// failure policy.
    pub(super) fn handle_unavailable_instance(&mut self, index: usize) -> Action {
        if self.chain.failure_policy(index) == FailurePolicy::Open {
            if let Some(filter) = self.filters.get_mut(index) {
                filter.binding = Binding::Detached;
            }
            return Action::Continue;
        }
        self.fail_stream(index)
    }

    /// Fails the stream because the instance of a plugin is dead or not available.
    fn fail_stream(&mut self, index: usize) -> Action {
        self.chain.schedule_restart(index);
        if let Some(filter) = self.filters.get_mut(index) {
            filter.binding = Binding::Detached;
        }
        self.with_state(|state| {
            state.commands.push(Command::SendLocalResponse(Box::new(
                LocalResponse::failure(index),
            )))
        });
        Action::Pause
    }
}

impl State {
    /// Records that a callback begins. Returns its argument, the number of fields or bytes.
    fn begin_callback(
        &mut self,
        index: usize,
        phase: Phase,
        end: bool,
        map: Option<FieldMap>,
    ) -> u32 {
        if let Some(filter) = self.filters.get_mut(index) {
            filter.phase = Some(phase);
            filter.at_end = end;
            filter.response_passed |=
                matches!(phase, Phase::ResponseBody | Phase::ResponseTrailers);
            filter.accessible_maps |= map.map_or(0, FieldMap::bit);
        }
        let count = match (phase, map) {
            (_, Some(map)) => self.map(map).map_or(0, crate::fields::Fields::len),
            (Phase::RequestBody, None) => self.body(index, Direction::Request).len(),
            (Phase::ResponseBody, None) => self.body(index, Direction::Response).len(),
            _ => 0,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Records that a callback has returned. After `Continue`, its fields can no longer be accessed. After `Pause` in a
    /// body callback, the body accumulates.
    fn end_callback(
        &mut self,
        index: usize,
        phase: Phase,
        map: Option<FieldMap>,
        action: Option<Action>,
    ) {
        let Some(FilterState {
            accessible_maps,
            phase: current_phase,
            at_end: _,
            response_passed,
            accumulating,
        }) = self.filters.get_mut(index)
        else {
            return;
        };
        *current_phase = None;
        if action == Some(Action::Continue) {
            // A body callback may have added trailers.
            let map = map.unwrap_or(phase.direction_and_map().0.trailers());
            *accessible_maps &= !map.bit();
            *response_passed |= phase == Phase::ResponseHeaders;
        }
        if let (Phase::RequestBody | Phase::ResponseBody, (direction, _)) =
            (phase, phase.direction_and_map())
            && let Some(accumulating) = accumulating.get_mut(direction.index())
        {
            *accumulating = action == Some(Action::Pause);
        }
    }
}
