//! Reports the events of a stream to the observer. Outcomes of HTTP calls are callbacks that `vm` calls, and reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Context;
use crate::engine::{self, Trap};
use crate::fields::Fields;
use crate::observe::{BodySize, Call, Event, ObservedFields, Observer, Occasion, compare_maps};
use crate::state::{SharedStream, State};
use crate::vm::Vm;
use crate::vocabulary::{Action, Direction, Phase};

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

    pub(super) fn stream_id(&self) -> u64 {
        self.stream_id
    }

    pub(super) fn report(&self, event: Event) {
        self.observer.event(self.stream_id, event);
    }

    /// Runs a callback and reports it. Must be called before `State::end_callback`, which changes what the plugin sees as
    /// the body.
    pub(super) fn callback(
        &self,
        vm: &Vm,
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
        let occasion = Occasion::Callback(phase);
        let call = Call {
            fields,
            body,
            end,
            ..vm.describe_call(context, index, occasion, action, measured)
        };
        self.report(Event::Called(Box::new(call)));
        action
    }

    /// Creates or drops the plugin's state for the stream. Reports it only if the plugin logged something or trapped.
    pub(super) fn lifecycle_call<R>(
        &self,
        vm: &Vm,
        context: &Context,
        index: usize,
        occasion: Occasion,
        run: impl FnOnce(&mut dyn engine::Instance) -> Result<R, Trap>,
    ) -> Option<R> {
        let (result, measured) = vm.enter_measured(context.plugin, run);
        if !measured.is_silent() {
            let action = result.is_some().then_some(Action::Continue);
            let call = vm.describe_call(context, index, occasion, action, measured);
            self.report(Event::Called(Box::new(call)));
        }
        result
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
    ) -> (Vec<ObservedFields>, Option<BodySize>) {
        let (_, own_map) = phase.direction_and_map();
        let fields = compare_maps(self.maps, &state.maps, own_map);
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
