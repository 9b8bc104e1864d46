//! `on-log`: the stream has ended. `http_filter` decides when it is called, because the call may have to be deferred.

mod guest {
    #[link(wasm_import_module = "proxy_on_log")]
    unsafe extern "C" {
        #[link_name = "on-log#handle"]
        pub(super) safe fn handle(filter: u32);
    }

    #[link(wasm_import_module = "guest-post")]
    unsafe extern "C" {
        #[link_name = "on-log#handle"]
        pub(super) safe fn handle_post();
    }
}

/// Calls the component's `on-log`.
pub(crate) fn handle(filter: u32) {
    guest::handle(filter);
    guest::handle_post();
}
