//! The Proxy-Wasm ABI as hosts implement it: names and core types of what a module may import and what it may export.
//!
//! ABI 0.2.1 as Envoy has it; functions that only some Envoy releases provide are left out, since a module that imports
//! one of them does not load in the others.

use crate::module::Module;
use crate::types::{CoreTy, Signature};
use wasmparser::ExternalKind;

/// The export that says which version of the ABI a module speaks.
pub const ABI_MARKER: &str = "proxy_abi_version_0_2_1";

/// What every marker begins with.
const ABI_MARKERS: &str = "proxy_abi_version_";

/// A function of the ABI.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters and, behind a `>`, its results: `i` and `I` for 32 and 64 bits.
    code: &'static str,
}

macro_rules! functions {
    ($($(#[$doc:meta])* $list:ident { $($name:ident $code:literal)* })*) => { $(
        $(#[$doc])*
        pub const $list: &[Function] = &[$(Function { name: stringify!($name), code: $code }),*];
    )* };
}

functions! {
    /// What hosts provide as module `env`.
    HOST {
        proxy_log "iii>i"
        proxy_get_log_level "i>i"
        proxy_get_current_time_nanoseconds "i>i"
        proxy_set_tick_period_milliseconds "i>i"
        proxy_set_buffer_bytes "iiiii>i"
        proxy_get_buffer_bytes "iiiii>i"
        proxy_get_buffer_status "iii>i"
        proxy_get_header_map_size "ii>i"
        proxy_get_header_map_pairs "iii>i"
        proxy_set_header_map_pairs "iii>i"
        proxy_get_header_map_value "iiiii>i"
        proxy_add_header_map_value "iiiii>i"
        proxy_replace_header_map_value "iiiii>i"
        proxy_remove_header_map_value "iii>i"
        proxy_continue_stream "i>i"
        proxy_close_stream "i>i"
        proxy_get_status "iii>i"
        proxy_send_local_response "iiiiiiii>i"
        proxy_http_call "iiiiiiiiii>i"
        proxy_grpc_call "iiiiiiiiiiii>i"
        proxy_grpc_stream "iiiiiiiii>i"
        proxy_grpc_send "iiii>i"
        proxy_grpc_cancel "i>i"
        proxy_grpc_close "i>i"
        proxy_set_shared_data "iiiii>i"
        proxy_get_shared_data "iiiii>i"
        proxy_register_shared_queue "iii>i"
        proxy_resolve_shared_queue "iiiii>i"
        proxy_enqueue_shared_queue "iii>i"
        proxy_dequeue_shared_queue "iii>i"
        proxy_define_metric "iiii>i"
        proxy_record_metric "iI>i"
        proxy_increment_metric "iI>i"
        proxy_get_metric "ii>i"
        proxy_get_property "iiii>i"
        proxy_set_property "iiii>i"
        proxy_call_foreign_function "iiiiii>i"
        proxy_set_effective_context "i>i"
        proxy_done ">i"
    }

    /// What every supported host provides as module `wasi_snapshot_preview1`.
    WASI {
        fd_write "iiii>i"
        clock_time_get "iIi>i"
        random_get "ii>i"
        environ_get "ii>i"
        environ_sizes_get "ii>i"
        proc_exit "i>"
    }

    /// What hosts look for among a module's exports.
    CALLBACKS {
        _initialize ">"
        proxy_on_memory_allocate "i>i"
        proxy_on_context_create "ii>"
        proxy_on_vm_start "ii>i"
        proxy_on_configure "ii>i"
        proxy_on_tick "i>"
        proxy_on_new_connection "i>i"
        proxy_on_downstream_data "iii>i"
        proxy_on_upstream_data "iii>i"
        proxy_on_downstream_connection_close "ii>"
        proxy_on_upstream_connection_close "ii>"
        proxy_on_request_headers "iii>i"
        proxy_on_request_body "iii>i"
        proxy_on_request_trailers "ii>i"
        proxy_on_request_metadata "ii>i"
        proxy_on_response_headers "iii>i"
        proxy_on_response_body "iii>i"
        proxy_on_response_trailers "ii>i"
        proxy_on_response_metadata "ii>i"
        proxy_on_http_call_response "iiiii>"
        proxy_on_grpc_receive_initial_metadata "iii>"
        proxy_on_grpc_receive "iii>"
        proxy_on_grpc_receive_trailing_metadata "iii>"
        proxy_on_grpc_close "iii>"
        proxy_on_queue_ready "ii>"
        proxy_on_foreign_function "iii>"
        proxy_on_done "i>i"
        proxy_on_log "i>"
        proxy_on_delete "i>"
    }
}

/// The version of the ABI that a module announces, such as `0.2.1`.
pub fn abi_version(module: &Module<'_>) -> Option<String> {
    let functions = module
        .exports
        .iter()
        .filter(|export| export.kind == ExternalKind::Func);
    functions
        .into_iter()
        .find_map(|export| export.name.strip_prefix(ABI_MARKERS))
        .map(|version| version.replace('_', "."))
}

/// Whether these bytes are a Proxy-Wasm module.
pub fn is_plugin(bytes: &[u8]) -> bool {
    Module::read(bytes).is_ok_and(|module| abi_version(&module).is_some())
}

// === impl Function ===

impl Function {
    /// Its core type.
    pub fn signature(&self) -> Signature {
        let (params, results) = self.code.split_once('>').unwrap_or((self.code, ""));
        let types = |code: &str| {
            code.chars()
                .map(|c| if c == 'I' { CoreTy::I64 } else { CoreTy::I32 })
                .collect()
        };
        Signature {
            params: types(params),
            results: types(results),
        }
    }
}
