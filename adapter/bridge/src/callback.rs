//! The macro that defines the header and body callbacks of a stream, in the files `on_*.rs`.

/// Exports a Proxy-Wasm callback that calls a callback of the component, both given by name.
macro_rules! callback {
    ($export:literal => $handle:literal, headers in $phase:ident) => {
        #[link(wasm_import_module = $export)]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle(filter: u32, end_of_stream: u32) -> u32;
        }

        #[link(wasm_import_module = "guest-post")]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle_post(action: u32);
        }

        #[unsafe(export_name = $export)]
        extern "C" fn callback(context: u32, _fields: u32, end_of_stream: u32) -> u32 {
            $crate::http_filter::run(context, $crate::call::Phase::$phase, |_, filter| {
                let action = handle(filter, (end_of_stream != 0) as u32);
                handle_post(action);
                action
            })
        }
    };
    ($export:literal => $handle:literal, body in $phase:ident) => {
        #[link(wasm_import_module = $export)]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle(filter: u32, size: u32, end_of_stream: u32) -> u32;
        }

        #[link(wasm_import_module = "guest-post")]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle_post(action: u32);
        }

        #[unsafe(export_name = $export)]
        extern "C" fn callback(context: u32, size: u32, end_of_stream: u32) -> u32 {
            $crate::http_filter::run(context, $crate::call::Phase::$phase, |state, filter| {
                state.update_call(|call| call.body_size = size);
                let action = handle(filter, size, (end_of_stream != 0) as u32);
                handle_post(action);
                action
            })
        }
    };
}
pub(crate) use callback;
