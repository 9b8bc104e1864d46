//! A single callback: binding the plugin to an instance, preparing the call, and handling its failure.

use crate::context::StreamContext;
use crate::engine::{self, Callback, Filter as EngineFilter};
use crate::observe::Occasion;
use crate::plugin::FailurePolicy;
use crate::state::local_response::LocalResponse;
use crate::state::{Command, FilterState, State};
use crate::stream::watch::Observed;
use crate::stream::{Plugin, Stream};
use crate::vocabulary::{Action, Direction, FieldMap, Phase};

impl Stream {
    /// Calls the callback of a plugin for a phase. Returns `Continue` if the plugin does not have the callback, or if
    /// its instance has failed and its failure policy is `Open`.
    pub(super) fn call(&mut self, index: usize, phase: Phase, end: bool) -> Action {
        if !self.bind(index, phase) {
            return self.instance_is_gone(index);
        }
        let Some(filter) = self.filters.get(index) else {
            return Action::Continue;
        };
        let Plugin::Bound { vm, context, slot } = &filter.plugin else {
            return Action::Continue;
        };
        if vm.is_dead() {
            return self.instance_is_gone(index);
        }
        if !vm.callbacks().has(phase) {
            return Action::Continue;
        }
        let (_, map) = phase.of();
        let argument = self.shared.change(|state| state.enter(index, phase, map));
        let filter = EngineFilter {
            context,
            slot: *slot,
        };
        let callback = Callback::new(phase, argument, end);
        let run = |instance: &mut dyn engine::Instance| instance.call(filter, callback);
        let result = match &self.watch {
            None => vm.enter(context.plugin, run),
            Some(watch) => {
                let observed = Observed {
                    shared: &self.shared,
                    index,
                    phase,
                    end,
                };
                watch.callback(vm, context, observed, run)
            }
        };
        self.with_state(|state| state.leave(index, phase, map, result));
        // As in Envoy, the stream on which the trap occurred fails regardless of the failure policy.
        result.unwrap_or_else(|| self.fail(index))
    }

    /// Drops the plugin's filter for this stream.
    pub(super) fn close_filter(&mut self, index: usize) {
        let Some(filter) = self.filters.get_mut(index) else {
            return;
        };
        if let Plugin::Bound { vm, context, slot } =
            std::mem::replace(&mut filter.plugin, Plugin::Gone)
        {
            let filter = EngineFilter {
                context: &context,
                slot,
            };
            // A trap here needs no handling: the instance's other streams are woken, and this stream has already ended.
            let close = |instance: &mut dyn engine::Instance| instance.close(filter);
            let _: Option<()> = match &self.watch {
                None => vm.enter(context.plugin, close),
                Some(watch) => watch.lifetime(&vm, &context, index, Occasion::Close, close),
            };
            vm.services().contexts.remove(context.id);
        }
    }

    pub(super) fn with_state<R: Default>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.shared.change(change)
    }

    /// Creates the plugin's context, if it has none and `phase` is the request headers or the log phase. A plugin that
    /// the request headers have not reached gets its context only for the log phase, and no callback before that.
    /// Returns `false` if no instance is available.
    fn bind(&mut self, index: usize, phase: Phase) -> bool {
        let Some(filter) = self.filters.get_mut(index) else {
            return true;
        };
        if !matches!(filter.plugin, Plugin::New)
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
        };
        let context = vm.services().contexts.add(plugin, Some(stream));
        let open = |instance: &mut dyn engine::Instance| instance.open(&context);
        let slot = match &self.watch {
            None => vm.enter(plugin, open),
            Some(watch) => watch.lifetime(&vm, &context, index, Occasion::Open, open),
        };
        if let Some(slot) = slot {
            filter.plugin = Plugin::Bound { vm, context, slot };
        }
        slot.is_some()
    }

    /// Handles an instance that is dead or not available: the stream bypasses the plugin or fails, depending on the
    /// failure policy.
    pub(super) fn instance_is_gone(&mut self, index: usize) -> Action {
        if self.chain.failure_policy(index) == FailurePolicy::Open {
            if let Some(filter) = self.filters.get_mut(index) {
                filter.plugin = Plugin::Gone;
            }
            return Action::Continue;
        }
        self.fail(index)
    }

    /// Fails the stream because the instance of a plugin is dead or not available.
    fn fail(&mut self, index: usize) -> Action {
        if let Some(filter) = self.filters.get_mut(index) {
            filter.plugin = Plugin::Gone;
        }
        self.with_state(|state| {
            state
                .commands
                .push(Command::Respond(Box::new(LocalResponse::failure(index))))
        });
        Action::Pause
    }
}

impl State {
    /// Records that a callback begins. Returns its argument, the number of fields or bytes.
    fn enter(&mut self, index: usize, phase: Phase, map: Option<FieldMap>) -> u32 {
        if let Some(filter) = self.filters.get_mut(index) {
            filter.phase = Some(phase);
            filter.live |= map.map_or(0, FieldMap::bit);
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
    fn leave(&mut self, index: usize, phase: Phase, map: Option<FieldMap>, action: Option<Action>) {
        let Some(FilterState {
            live,
            phase: place,
            buffering,
        }) = self.filters.get_mut(index)
        else {
            return;
        };
        *place = None;
        if action == Some(Action::Continue) {
            *live &= !map.map_or(0, FieldMap::bit);
        }
        if let (Phase::RequestBody | Phase::ResponseBody, (half, _)) = (phase, phase.of())
            && let Some(buffering) = buffering.get_mut(half.index())
        {
            *buffering = action == Some(Action::Pause);
        }
    }
}
