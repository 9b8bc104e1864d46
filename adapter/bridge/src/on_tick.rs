//! `on-tick`: the period of the plugin's timer has passed.

use crate::plugin;

mod guest {
    #[link(wasm_import_module = "proxy_on_tick")]
    unsafe extern "C" {
        #[link_name = "on-tick#handle"]
        pub(super) safe fn handle(plugin: u32);
    }

    #[link(wasm_import_module = "guest-post")]
    unsafe extern "C" {
        #[link_name = "on-tick#handle"]
        pub(super) safe fn handle_post();
    }
}

#[unsafe(export_name = "proxy_on_tick")]
extern "C" fn proxy_on_tick(root: u32) {
    plugin::run_event(root, |_, plugin| {
        guest::handle(plugin);
        guest::handle_post();
    });
}
