//! `on-response-headers`: the headers of the response have come.

use crate::contexts::Phase;
use crate::http_filter;

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "on-response-headers#handle"]
    safe fn handle(filter: u32, end_of_stream: u32) -> u32;
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "on-response-headers#handle"]
    safe fn handle_post(action: u32);
}

#[unsafe(export_name = "proxy_on_response_headers")]
extern "C" fn proxy_on_response_headers(context: u32, _fields: u32, end_of_stream: u32) -> u32 {
    http_filter::run(context, Phase::ResponseHeaders, |_, filter| {
        let action = handle(filter, (end_of_stream != 0) as u32);
        handle_post(action);
        action
    })
}
