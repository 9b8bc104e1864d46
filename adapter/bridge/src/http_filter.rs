//! `http-filter`: a filter is made at its stream's first exported callback, and every callback runs through here.
//!
//! What becomes of a callback's answer is decided here too, because the host acts on `resume` and `reset` before it
//! sees the answer of the callback that they were called in.

use crate::abi;
use crate::contexts::{
    self, ANSWERED, CONSTRUCTED, Call, DELETED, ENDED, Former, PAUSED, Phase, Stream,
};
use crate::state::{State, state};

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "http-filter#[constructor]filter"]
    safe fn construct(plugin: u32, http: u32) -> u32;
    #[link_name = "http-filter#[dtor]filter"]
    safe fn destruct(filter: u32);
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "http-filter#[constructor]filter"]
    safe fn construct_post(filter: u32);
}

/// Runs a callback of a stream's filter and says what the host is to do.
///
/// A stream that is not known, or whose plugin was refused, goes on untouched.
#[inline(always)]
pub(crate) fn run(context: u32, phase: Phase, callback: impl FnOnce(&State, u32) -> u32) -> u32 {
    let state = state();
    let former = Former::save(state);
    let Some(stream) = begin(state, context, phase) else {
        return abi::ACTION_CONTINUE;
    };
    let answer = callback(state, stream.filter.get());
    end(state, former, answer)
}

/// Drops a filter.
pub(crate) fn drop(filter: u32) {
    destruct(filter);
}

fn begin(state: &State, context: u32, phase: Phase) -> Option<&'static Stream> {
    let mut stream = state.streams.find(context)?;
    let is_new = !stream.has(CONSTRUCTED);
    let plugin = if is_new {
        state.plugins.find(stream.root())?
    } else {
        0
    };
    match phase {
        Phase::ResponseBody => stream.mark(ANSWERED),
        Phase::Log => stream.mark(ANSWERED | ENDED),
        _ => {}
    }
    stream.enter();
    contexts::begin(state, context, context, phase);
    if is_new {
        let filter = construct(plugin, context);
        construct_post(filter);
        // Whatever the guest called may have moved it.
        stream = state.streams.running(context);
        stream.filter.set(filter);
        stream.mark(CONSTRUCTED);
    }
    Some(stream)
}

/// Turns the answer of a callback into what the host has to hear, and goes back to the call before.
fn end(state: &State, former: Former, answer: u32) -> u32 {
    let Call {
        context,
        phase,
        resumed,
        stopped,
        ..
    } = state.call.get();
    // It may have moved since the callback began, but while that ran it was not removed.
    let stream = state.streams.running(context);
    stream.leave();
    let ended = stream.has(DELETED);
    if ended && !stream.is_running() {
        contexts::close(state, context);
        contexts::forget(state, stream);
    }
    former.restore(state);
    if ended {
        contexts::close(state, context);
    }
    if stopped || ended {
        // The response, or the end, comes when we return: the host is neither to go on nor to keep what came.
        return match phase {
            Phase::RequestBody | Phase::ResponseBody => abi::ACTION_STOP_NO_BUFFER,
            _ => abi::ACTION_PAUSE,
        };
    }
    let half = phase.is_of(1) as u32;
    if answer == abi::ACTION_CONTINUE || resumed {
        stream.clear(PAUSED << half);
        if phase == Phase::ResponseHeaders {
            stream.mark(ANSWERED);
        }
        return abi::ACTION_CONTINUE;
    }
    stream.mark(PAUSED << half);
    abi::ACTION_PAUSE
}
