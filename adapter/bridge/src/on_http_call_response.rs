//! `on-http-call-response`: an HTTP call that was sent for a stream has ended.
//!
//! The host has one callback for this and for `on-plugin-http-call-response`. The state lists the calls that were sent
//! for streams; all others were sent for the plugin.

use crate::http_call_types::{Outcome, Receiver, Sizes};
use crate::http_filter;
use crate::on_plugin_http_call_response;
use crate::state::state;

mod guest {
    #[link(wasm_import_module = "proxy_on_http_call_response")]
    unsafe extern "C" {
        #[link_name = "on-http-call-response#handle"]
        pub(super) fn handle(
            filter: u32,
            call: u32,
            case: u32,
            headers: *const u8,
            headers_len: usize,
            body: *const u8,
            body_len: usize,
            trailers: *const u8,
            trailers_len: usize,
        );
    }

    #[link(wasm_import_module = "guest-post")]
    unsafe extern "C" {
        #[link_name = "on-http-call-response#handle"]
        pub(super) safe fn handle_post();
    }
}

#[unsafe(export_name = "proxy_on_http_call_response")]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    call: u32,
    headers: u32,
    body_size: u32,
    trailers: u32,
) {
    let sizes = Sizes {
        headers,
        body: body_size,
        trailers,
    };
    match state().stream_calls.remove(call) {
        Some(stream) if stream.root == root => handle(root, stream.id, call, sizes),
        // The number may have belonged to a call of a plugin that was deleted.
        _ => on_plugin_http_call_response::handle(root, call, sizes),
    }
}

/// Calls the component's `on-http-call-response`, if it has one and the stream has not ended.
#[inline(always)]
fn handle(root: u32, stream: u32, call: u32, sizes: Sizes) {
    if !Receiver::Filter.exists() {
        return;
    }
    http_filter::run_event(root, stream, |state, filter| {
        let outcome = Outcome::read(state, Receiver::Filter, sizes);
        // SAFETY: the outcome was read for this callback, and the handle is of its receiver.
        unsafe { outcome.pass(guest::handle, filter, call) };
        guest::handle_post();
    });
}
