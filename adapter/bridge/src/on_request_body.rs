//! `on-request-body`: a piece of the request's body has come.

use crate::contexts::Phase;
use crate::http_bodies;
use crate::http_filter;

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "on-request-body#handle"]
    safe fn handle(filter: u32, size: u32, end_of_stream: u32) -> u32;
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "on-request-body#handle"]
    safe fn handle_post(action: u32);
}

#[unsafe(export_name = "proxy_on_request_body")]
extern "C" fn proxy_on_request_body(context: u32, size: u32, end_of_stream: u32) -> u32 {
    http_filter::run(context, Phase::RequestBody, |state, filter| {
        http_bodies::set_size(state, size);
        let action = handle(filter, size, (end_of_stream != 0) as u32);
        handle_post(action);
        action
    })
}
