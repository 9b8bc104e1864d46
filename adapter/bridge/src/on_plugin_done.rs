//! `on-plugin-done`: the host is about to delete a plugin.

use crate::memory::discriminant;
use crate::plugin;

/// `completion.pending`.
const PENDING: u32 = 1;

#[link(wasm_import_module = "proxy_on_done")]
unsafe extern "C" {
    #[link_name = "on-plugin-done#handle"]
    safe fn handle(plugin: u32) -> u32;
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "on-plugin-done#handle"]
    safe fn handle_post(completion: u32);
}

/// Returns whether the host may delete the context. The host calls it for streams, too, and deletes these in any case.
#[unsafe(export_name = "proxy_on_done")]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    let completion = plugin::run_event(context, |_, plugin| {
        let completion = handle(plugin);
        handle_post(completion);
        discriminant(completion, 2)
    });
    (completion != Some(PENDING)) as u32
}
