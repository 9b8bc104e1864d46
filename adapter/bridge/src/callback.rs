//! The macro that defines the callbacks for headers, bodies and trailers of a stream, and those for events of a plugin
//! whose parameters are numbers. It is used in the files `on_*.rs`.

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
            $crate::http_filter::run(context, $crate::running::Phase::$phase, |_, filter| {
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
            $crate::http_filter::run(context, $crate::running::Phase::$phase, |state, filter| {
                state.update_running(|running| running.body_size = size);
                let action = handle(filter, size, (end_of_stream != 0) as u32);
                handle_post(action);
                action
            })
        }
    };
    ($export:literal => $handle:literal, trailers in $phase:ident) => {
        #[link(wasm_import_module = $export)]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle(filter: u32) -> u32;
        }

        #[link(wasm_import_module = "guest-post")]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle_post(action: u32);
        }

        #[unsafe(export_name = $export)]
        extern "C" fn callback(context: u32, _fields: u32) -> u32 {
            $crate::http_filter::run(context, $crate::running::Phase::$phase, |_, filter| {
                let action = handle(filter);
                handle_post(action);
                action
            })
        }
    };
    ($export:literal => $handle:literal, event($($parameter:ident),*)) => {
        #[link(wasm_import_module = $export)]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle(plugin: u32, $($parameter: u32),*);
        }

        #[link(wasm_import_module = "guest-post")]
        unsafe extern "C" {
            #[link_name = $handle]
            safe fn handle_post();
        }

        #[unsafe(export_name = $export)]
        extern "C" fn callback(root: u32, $($parameter: u32),*) {
            $crate::plugin::run_event(root, |_, plugin| {
                handle(plugin, $($parameter),*);
                handle_post();
            });
        }
    };
}
pub(crate) use callback;
