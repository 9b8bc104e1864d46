//! `http-filter`: a filter is made at its stream's first exported callback, and every callback runs through here.
//!
//! What becomes of a callback's answer is decided here too, because the host acts on `resume` and `reset` before it
//! sees the answer of the callback that they were called in.

use crate::abi;
use crate::contexts::{
    self, ANSWERED, CONSTRUCTED, ENDED, PAUSED, Phase, RESUMED, STOPPED, Stream,
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
    let Some(stream) = begin(state, context, phase) else {
        return abi::ACTION_CONTINUE;
    };
    let answer = callback(state, stream.filter.get());
    end(stream, phase, answer)
}

/// Drops a filter.
pub(crate) fn drop(filter: u32) {
    destruct(filter);
}

fn begin(state: &State, context: u32, phase: Phase) -> Option<&'static Stream> {
    let stream = state.streams.find(context)?;
    contexts::begin(state, context, context, phase);
    match phase {
        Phase::ResponseBody => stream.mark(ANSWERED),
        Phase::Log => stream.mark(ANSWERED | ENDED),
        _ => {}
    }
    if !stream.has(CONSTRUCTED) {
        let plugin = state.plugins.find(stream.root())?;
        let filter = construct(plugin, context);
        stream.filter.set(filter);
        stream.mark(CONSTRUCTED);
        construct_post(filter);
    }
    Some(stream)
}

/// Turns the answer of a callback into what the host has to hear.
fn end(stream: &Stream, phase: Phase, answer: u32) -> u32 {
    let half = phase.is_of(1) as u32;
    let resumed = stream.has(RESUMED << half);
    let stopped = stream.has(STOPPED);
    stream.clear(RESUMED << half | PAUSED << half | STOPPED);
    if stopped {
        // The response, or the end, comes when we return: the host is neither to go on nor to keep what came.
        let is_body = matches!(phase, Phase::RequestBody | Phase::ResponseBody);
        return if is_body {
            abi::ACTION_STOP_NO_BUFFER
        } else {
            abi::ACTION_PAUSE
        };
    }
    if answer == abi::ACTION_CONTINUE || resumed {
        if phase == Phase::ResponseHeaders {
            stream.mark(ANSWERED);
        }
        return abi::ACTION_CONTINUE;
    }
    stream.mark(PAUSED << half);
    abi::ACTION_PAUSE
}
