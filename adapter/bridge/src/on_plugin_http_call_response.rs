//! `on-plugin-http-call-response`: an HTTP call that was sent for the plugin has ended.
//!
//! `on_http_call_response` contains the host's callback for it.

use crate::http_call_types::{Outcome, Receiver, Sizes};
use crate::plugin;

mod guest {
    #[link(wasm_import_module = "proxy_on_http_call_response")]
    unsafe extern "C" {
        #[link_name = "on-plugin-http-call-response#handle"]
        pub(super) fn handle(
            plugin: u32,
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
        #[link_name = "on-plugin-http-call-response#handle"]
        pub(super) safe fn handle_post();
    }
}

/// Calls the component's `on-plugin-http-call-response`, if it has one.
#[inline(always)]
pub(crate) fn handle(root: u32, call: u32, sizes: Sizes) {
    if !Receiver::Plugin.exists() {
        return;
    }
    plugin::run_event(root, |state, plugin| {
        let outcome = Outcome::read(state, Receiver::Plugin, sizes);
        // SAFETY: the outcome was read for this callback, and the handle is of its receiver.
        unsafe { outcome.pass(guest::handle, plugin, call) };
        guest::handle_post();
    });
}
