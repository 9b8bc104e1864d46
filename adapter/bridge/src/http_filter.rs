//! `http-filter`: a filter is constructed at its stream's first exported callback, and every callback of it runs
//! through here.
//!
//! What a callback returns to the host is also decided here, because the host acts on `resume` and `reset` before it
//! sees the result of the callback that called them.

use crate::abi::{self, trap};
use crate::contexts;
use crate::on_log;
use crate::running::{Phase, RunningCallback, SavedCallback};
use crate::state::{State, state};
use crate::streams::{
    ANSWERED, ANSWERING, CONSTRUCTED, DELETED, ENDED, LOG_PENDING, PAUSED, Stream,
};

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
    let saved = SavedCallback::save(&state.running);
    let Some(stream) = begin(state, context, phase) else {
        return abi::ACTION_CONTINUE;
    };
    let action = callback(state, stream.filter.get());
    end(state, saved, action)
}

/// Runs a callback of a stream's filter that the host makes in the root context `root`, outside the stream's phases.
///
/// Nothing is run if the stream has ended, or has no filter.
#[inline(always)]
pub(crate) fn run_event(root: u32, context: u32, callback: impl FnOnce(&State, u32)) {
    let state = state();
    let Some(stream) = state.streams.find(context) else {
        return;
    };
    if !stream.has(CONSTRUCTED) || stream.has(ENDED) {
        return;
    }
    let saved = SavedCallback::save(&state.running);
    stream.enter();
    contexts::begin(state, root, 0, Phase::Event);
    callback(state, stream.filter.get());
    let deleted = leave(state, context, || {
        // The stream's context is not the one in which the host made the call.
        abi::proxy_set_effective_context(context);
    });
    contexts::end_event(state);
    saved.restore(&state.running);
    if deleted {
        contexts::close(state, context);
    }
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
    stream.clear(ANSWERING);
    match phase {
        Phase::ResponseBody | Phase::ResponseTrailers => stream.mark(ANSWERED),
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

/// Turns the result of a callback into the action for the host, and restores the previous one.
fn end(state: &State, saved: SavedCallback, action: u32) -> u32 {
    if action > abi::ACTION_PAUSE {
        trap()
    }
    let RunningCallback {
        context,
        phase,
        resumed,
        stopped,
        ..
    } = state.running.get();
    let deleted = leave(state, context, || {});
    saved.restore(&state.running);
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

/// Records that a callback has returned, and does what the host asked for while it was running, after `select`. Returns
/// whether the host has deleted the stream.
#[inline(always)]
fn leave(state: &State, context: u32, select: impl FnOnce()) -> bool {
    // The stream may have moved since the callback began, but it was not removed while the callback ran.
    let stream = state.streams.running(context);
    stream.leave();
    let deleted = stream.has(DELETED);
    if !stream.is_running() && (stream.has(LOG_PENDING) || deleted) {
        select();
        finish(state, context, deleted);
    }
    deleted
}

/// Calls `on-log` and removes the stream, as far as the host asked for it while a callback of the stream was running.
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
        // As in `proxy_on_delete`.
        contexts::begin(state, context, 0, Phase::Lifecycle);
        forget(state, state.streams.running(context));
    }
}
