//! Reports the events of a stream to the observer.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Context;
use crate::engine::{self, Trap};
use crate::fields::Fields;
use crate::observe::{BodySize, Call, Event, Measured, Observer, Occasion, Seen};
use crate::state::{SharedStream, State};
use crate::vm::Vm;
use crate::vocabulary::{Action, Direction, FieldMap, Phase};

/// The observer of a stream, and the number under which it knows the stream.
pub(super) struct Reporter {
    observer: Arc<dyn Observer>,
    stream_id: u64,
}

/// A callback that is about to run.
pub(super) struct CallbackSite<'a> {
    pub(super) shared: &'a SharedStream,
    pub(super) index: usize,
    pub(super) phase: Phase,
    pub(super) end: bool,
}

/// The field maps and the size of the body before a callback.
#[derive(Default)]
struct Snapshot {
    maps: [Option<Fields>; 4],
    body: Option<usize>,
}

impl Reporter {
    pub(super) fn new(observer: &Arc<dyn Observer>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            observer: observer.clone(),
            stream_id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn report(&self, event: Event) {
        self.observer.event(self.stream_id, event);
    }

    /// Runs a callback and reports it. Must be called before `State::end_callback`, which changes what the plugin sees as
    /// the body.
    pub(super) fn callback(
        &self,
        vm: &Rc<Vm>,
        context: &Context,
        site: CallbackSite<'_>,
        run: impl FnOnce(&mut dyn engine::Instance) -> Result<Action, Trap>,
    ) -> Option<Action> {
        let CallbackSite {
            shared,
            index,
            phase,
            end,
        } = site;
        let before = shared.change(|state| Snapshot::take(state, index, phase));
        let (action, measured) = vm.enter_measured(context.plugin, run);
        let (fields, body) = shared.change(|state| before.compare(state, index, phase));
        let call = Call {
            fields,
            body,
            end,
            ..new_call(
                vm,
                context,
                index,
                Occasion::Callback(phase),
                action,
                measured,
            )
        };
        self.report(Event::Called(Box::new(call)));
        action
    }

    /// Creates or drops the plugin's state for the stream. Reports it only if the plugin logged something or trapped.
    pub(super) fn lifecycle_call<R>(
        &self,
        vm: &Rc<Vm>,
        context: &Context,
        index: usize,
        occasion: Occasion,
        run: impl FnOnce(&mut dyn engine::Instance) -> Result<R, Trap>,
    ) -> Option<R> {
        let (result, measured) = vm.enter_measured(context.plugin, run);
        let silent = measured.lines.kept.is_empty() && measured.lines.left_out == 0;
        if !silent || measured.trap.is_some() {
            let action = result.is_some().then_some(Action::Continue);
            let call = new_call(vm, context, index, occasion, action, measured);
            self.report(Event::Called(Box::new(call)));
        }
        result
    }
}

fn new_call(
    vm: &Vm,
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
    let plugin = vm.services().plugins.get(context.plugin).cloned();
    Call {
        plugin: plugin.unwrap_or_default(),
        position,
        occasion,
        end: false,
        fields: Vec::new(),
        body: None,
        outcome: action
            .ok_or_else(|| trap.unwrap_or_else(|| "its instance had already failed".to_owned())),
        lines,
        time,
        fuel,
    }
}

impl Snapshot {
    fn take(state: &mut State, index: usize, phase: Phase) -> Self {
        Self {
            maps: state.maps.clone(),
            body: body_len(state, index, phase),
        }
    }

    fn compare(
        self,
        state: &mut State,
        index: usize,
        phase: Phase,
    ) -> (Vec<Seen>, Option<BodySize>) {
        let (_, own_map) = phase.direction_and_map();
        let mut fields = Vec::new();
        for (map, before) in FieldMap::ALL.into_iter().zip(self.maps) {
            let (Some(before), Some(after)) = (before, state.map(map)) else {
                continue;
            };
            if own_map == Some(map) || before != *after {
                let after = after.clone();
                let seen = Seen { map, before, after };
                // The fields that the callback is for come first.
                let at = if own_map == Some(map) {
                    0
                } else {
                    fields.len()
                };
                fields.insert(at, seen);
            }
        }
        let after = body_len(state, index, phase);
        let body = self.body.zip(after).map(|(before, after)| BodySize {
            seen: before,
            left: after,
        });
        (fields, body)
    }
}

/// Returns the size of the body that the callback is for, in bytes.
fn body_len(state: &mut State, index: usize, phase: Phase) -> Option<usize> {
    match phase {
        Phase::RequestBody => Some(state.body(index, Direction::Request).len()),
        Phase::ResponseBody => Some(state.body(index, Direction::Response).len()),
        _ => None,
    }
}
