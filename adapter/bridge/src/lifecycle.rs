//! The callbacks with which the host creates and deletes contexts.

use crate::contexts;
use crate::http_filter;
use crate::output;
use crate::plugin;
use crate::running::{Phase, SavedCallback};
use crate::state::state;
use crate::streams::DELETED;

/// Adds a stream to the table; its `parent` is the root context of its plugin. A plugin is added once it is configured.
#[unsafe(export_name = "proxy_on_context_create")]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent != 0 && context != 0 {
        let state = state();
        state.streams.insert(&state.arena, context, parent);
    }
}

/// The last callback for a context. Hostcalls on the stream that the filter's destructor makes return `closed`.
///
/// The host may end a stream during a hostcall that a callback of its filter makes. For that callback the stream is
/// closed from this point on, and the filter is dropped when the callback has returned.
#[unsafe(export_name = "proxy_on_delete")]
extern "C" fn proxy_on_delete(context: u32) {
    let state = state();
    let saved = SavedCallback::save(&state.running);
    contexts::begin(state, context, 0, Phase::Lifecycle);
    if let Some(stream) = state.streams.find(context) {
        if stream.is_running() {
            stream.mark(DELETED);
        } else {
            http_filter::forget(state, stream);
        }
    } else if let Some(plugin) = state.plugins.remove(context) {
        plugin::drop(plugin);
        output::flush(state);
        // The host cancels its calls without reporting it.
        state.has_cancelled_calls.set(true);
    }
    saved.restore(&state.running);
    contexts::close(state, context);
}
