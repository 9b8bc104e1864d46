//! `http-filter`: a filter is constructed at its stream's first exported callback, and every callback runs through
//! here.
//!
//! What a callback returns to the host is also decided here, because the host acts on `resume` and `reset` before it
//! sees the result of the callback that called them.

use crate::abi::{self, trap};
use crate::call::{Call, Phase, SavedCall};
use crate::contexts;
use crate::on_log;
use crate::state::{State, state};
use crate::streams::{ANSWERED, CONSTRUCTED, DELETED, ENDED, LOG_PENDING, PAUSED, Stream};

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "http-filter#[constructor]filter"]
    safe fn construct(plugin: u32, http: u32) -> u32;
}

#[link(wasm_import_module = "guest-dtor")]
unsafe extern "C" {
    #[link_name = "http-filter#filter"]
    safe fn destruct(filter: u32);
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "http-filter#[constructor]filter"]
    safe fn construct_post(filter: u32);
}

/// Runs a callback of a stream's filter, and returns the action that the host should take.
///
/// A stream that is unknown, or whose plugin refused its configuration, continues.
#[inline(always)]
pub(crate) fn run(context: u32, phase: Phase, callback: impl FnOnce(&State, u32) -> u32) -> u32 {
    let state = state();
    let saved = SavedCall::save(&state.call);
    let Some(stream) = begin(state, context, phase) else {
        return abi::ACTION_CONTINUE;
    };
    let action = callback(state, stream.filter.get());
    end(state, saved, action)
}

/// Calls `on-log`.
///
/// The host may end a stream during a hostcall that a callback of its filter makes. `on-log` is then deferred until
/// that callback has returned, so that the filter is not entered twice.
#[unsafe(export_name = "proxy_on_log")]
extern "C" fn proxy_on_log(context: u32) {
    if let Some(stream) = state().streams.find(context)
        && stream.is_running()
    {
        stream.mark(LOG_PENDING);
        return;
    }
    run(context, Phase::Log, |_, filter| {
        on_log::handle(filter);
        abi::ACTION_CONTINUE
    });
}

/// Removes a stream and drops its filter.
pub(crate) fn forget(state: &State, stream: &Stream) {
    let (is_constructed, filter) = (stream.has(CONSTRUCTED), stream.filter.get());
    state.streams.remove(stream);
    if is_constructed {
        destruct(filter);
    }
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
        // The stream may have moved while the guest ran.
        stream = state.streams.running(context);
        stream.filter.set(filter);
        stream.mark(CONSTRUCTED);
    }
    Some(stream)
}

/// Turns the result of a callback into the action for the host, and restores the previous call.
fn end(state: &State, saved: SavedCall, action: u32) -> u32 {
    if action > abi::ACTION_PAUSE {
        trap()
    }
    let Call {
        context,
        phase,
        resumed,
        stopped,
        ..
    } = state.call.get();
    // The stream may have moved since the callback began, but it was not removed while the callback ran.
    let stream = state.streams.running(context);
    stream.leave();
    let deleted = stream.has(DELETED);
    if !stream.is_running() && (stream.has(LOG_PENDING) || deleted) {
        finish(state, context, deleted);
    }
    saved.restore(&state.call);
    if deleted {
        contexts::close(state, context);
    }
    if stopped || deleted {
        // The local response, or the end of the stream, takes effect when this returns. The host must neither continue
        // nor buffer what it has received.
        return match phase {
            Phase::RequestBody | Phase::ResponseBody => abi::ACTION_STOP_NO_BUFFER,
            _ => abi::ACTION_PAUSE,
        };
    }
    let stream = state.streams.running(context);
    let half = phase.is_of(1) as u32;
    if action == abi::ACTION_CONTINUE || resumed {
        stream.clear(PAUSED << half);
        if phase == Phase::ResponseHeaders {
            stream.mark(ANSWERED);
        }
        return abi::ACTION_CONTINUE;
    }
    stream.mark(PAUSED << half);
    abi::ACTION_PAUSE
}

/// Does what the host asked for while a callback of the stream was running, now that the callback has returned.
#[cold]
#[inline(never)]
fn finish(state: &State, context: u32, deleted: bool) {
    let stream = state.streams.running(context);
    if stream.has(LOG_PENDING) {
        // During `on-log` the stream still exists.
        stream.clear(LOG_PENDING | DELETED);
        proxy_on_log(context);
    }
    if deleted {
        contexts::close(state, context);
        forget(state, state.streams.running(context));
    }
}
