//! `on-log`: the stream has ended.

use crate::contexts::Phase;
use crate::http_filter;

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "on-log#handle"]
    safe fn handle(filter: u32);
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "on-log#handle"]
    safe fn handle_post();
}

#[unsafe(export_name = "proxy_on_log")]
extern "C" fn proxy_on_log(context: u32) {
    http_filter::run(context, Phase::Log, |_, filter| {
        handle(filter);
        handle_post();
        0
    });
}
