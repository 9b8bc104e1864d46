//! One callback: what is set up before it, what its plugin's instance is, and what became of both.

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
    /// Calls a plugin for a phase, if it has a callback for that. Without one, or on an instance that has failed and is open,
    /// the phase goes on.
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
        // The stream that the trap happened on is lost whatever the policy, as in Envoy.
        result.unwrap_or_else(|| self.fail(index))
    }

    /// Drops what a plugin keeps for this stream.
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
            // If it traps here, the other streams of the instance are told, and this one is over anyway.
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

    /// Gives a plugin its context, if it has none and this phase brings one: a plugin's life on a stream begins with the
    /// headers of the request; one that they did not reach is made for the log, and is not called before. False if there is no
    /// instance to be had.
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

    /// The plugin's instance is dead: the stream goes on without it, or fails.
    pub(super) fn instance_is_gone(&mut self, index: usize) -> Action {
        if self.chain.failure_policy(index) == FailurePolicy::Open {
            if let Some(filter) = self.filters.get_mut(index) {
                filter.plugin = Plugin::Gone;
            }
            return Action::Continue;
        }
        self.fail(index)
    }

    /// Fails the stream for a plugin that is no more.
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
    /// Notes that a callback begins, and gives its argument: how many fields, or bytes, there are.
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

    /// Notes that a callback has ended. What it let go on can be changed no more; what it paused in its body accumulates.
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
