//! The host creates and deletes contexts.

use crate::call::{Phase, SavedCall};
use crate::contexts;
use crate::http_filter;
use crate::output;
use crate::plugin;
use crate::state::state;
use crate::streams::DELETED;

/// A stream is known from here on: its `parent` is the root context of its plugin. A plugin is known once it is
/// configured.
#[unsafe(export_name = "proxy_on_context_create")]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent != 0 && context != 0 {
        let state = state();
        state.streams.insert(&state.arena, context, parent);
    }
}

/// The last call for a context. Hostcalls of its destructor on the stream return `closed`.
///
/// The host may end a stream within a hostcall of a callback of its filter. That callback finds the stream closed from
/// here on, and the filter is dropped when it has returned.
#[unsafe(export_name = "proxy_on_delete")]
extern "C" fn proxy_on_delete(context: u32) {
    let state = state();
    let saved = SavedCall::save(&state.call);
    contexts::begin(state, context, 0, Phase::Plugin);
    if let Some(stream) = state.streams.find(context) {
        if stream.is_running() {
            stream.mark(DELETED);
        } else {
            http_filter::forget(state, stream);
        }
    } else if let Some(plugin) = state.plugins.remove(context) {
        plugin::drop(plugin);
        output::flush(state);
    }
    saved.restore(&state.call);
    contexts::close(state, context);
}
