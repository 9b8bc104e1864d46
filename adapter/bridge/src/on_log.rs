//! `on-log`: the stream has ended. When it is called is said in `http_filter`, because it may have to wait.

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

/// Calls it.
pub(crate) fn handle(filter: u32) {
    guest::handle(filter);
    guest::handle_post();
}
