//! The Proxy-Wasm ABI as hosts implement it: the names and core types of what a module may import and export.
//!
//! This is ABI 0.2.1 as implemented by Envoy, and what differs in the older versions. Functions that only newer
//! releases of Envoy provide are listed separately, because a module that imports one of them does not load in the
//! older ones.

use crate::module::Module;
use crate::release::Envoy;
use crate::types::{CoreTy, Signature};
use wasmparser::{ExternalKind, Parser, Payload};

/// The export that marks a module as implementing ABI 0.2.1.
pub const ABI_MARKER: &str = "proxy_abi_version_0_2_1";

/// The functions that every adapted module exports, whatever the plugin exports.
pub const ALWAYS_EXPORTED: &[&str] = &[
    ABI_MARKER,
    "_initialize",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_delete",
];

/// The name under which a module exports its memory.
pub const MEMORY: &str = "memory";

/// The prefix of the markers of all ABI versions.
const ABI_MARKERS: &str = "proxy_abi_version_";

/// The versions of the ABI that Envoy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// ABI 0.1.0, of 2020.
    V0_1_0,
    /// ABI 0.2.0, with which most SDKs began.
    V0_2_0,
    /// ABI 0.2.1, which Tidegate's modules implement.
    V0_2_1,
}

/// A function of the ABI.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters and, after a `>`, its results: `i` for `i32` and `I` for `i64`.
    code: &'static str,
}

macro_rules! functions {
    ($($(#[$doc:meta])* $list:ident { $($name:ident $code:literal)* })*) => { $(
        $(#[$doc])*
        pub const $list: &[Function] = &[$(Function { name: stringify!($name), code: $code }),*];
    )* };
}

functions! {
    /// What hosts provide in module `env`.
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

    /// What hosts provide in module `env` only to modules of ABI 0.1.0.
    HOST_0_1_0 {
        proxy_get_configuration "ii>i"
        proxy_continue_request ">i"
        proxy_continue_response ">i"
        proxy_clear_route_cache ">i"
    }

    /// What Envoy also provides in module `env`, to modules of any version.
    ENVOY {
        pthread_equal "ii>i"
        emscripten_notify_memory_growth "i>"
        envoy_resolve_dns "iii>i"
    }

    /// What every host provides in module `wasi_snapshot_preview1`, including old hosts.
    WASI {
        fd_write "iiii>i"
        clock_time_get "iIi>i"
        random_get "ii>i"
        environ_get "ii>i"
        environ_sizes_get "ii>i"
        proc_exit "i>"
    }

    /// What every supported Envoy also provides in module `wasi_snapshot_preview1`.
    ENVOY_WASI {
        args_get "ii>i"
        args_sizes_get "ii>i"
        fd_close "i>i"
        fd_fdstat_get "ii>i"
        fd_fdstat_set_flags "ii>i"
        fd_prestat_dir_name "iii>i"
        fd_prestat_get "ii>i"
        fd_read "iiii>i"
        fd_seek "iIii>i"
        path_open "iiiiiIIii>i"
        poll_oneoff "iiii>i"
        sched_yield ">i"
    }

    /// What Envoy also provides in module `wasi_snapshot_preview1` since 1.39.
    ENVOY_1_39_WASI {
        clock_res_get "ii>i"
        fd_advise "iIIi>i"
        fd_allocate "iII>i"
        fd_datasync "i>i"
        fd_fdstat_set_rights "iII>i"
        fd_filestat_get "ii>i"
        fd_filestat_set_size "iI>i"
        fd_filestat_set_times "iIIi>i"
        fd_pread "iiiIi>i"
        fd_pwrite "iiiIi>i"
        fd_readdir "iiiIi>i"
        fd_renumber "ii>i"
        fd_sync "i>i"
        fd_tell "ii>i"
        path_create_directory "iii>i"
        path_filestat_get "iiiii>i"
        path_filestat_set_times "iiiiIIi>i"
        path_link "iiiiii>i"
        path_readlink "iiiiii>i"
        path_remove_directory "iii>i"
        path_rename "iiiiii>i"
        path_symlink "iiii>i"
        path_unlink_file "iii>i"
        sock_accept "iii>i"
        sock_recv "iiiiii>i"
        sock_send "iiiii>i"
        sock_shutdown "ii>i"
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

    /// What Envoy also looks for.
    ENVOY_CALLBACKS {
        malloc "i>i"
        proxy_validate_configuration "ii>i"
        envoy_on_resolve_dns "iii>"
        envoy_on_stats_update "ii>"
    }

    /// What Envoy also looks for in a module that has `_initialize`, and in one that does not.
    WITH_INITIALIZE { main "ii>i" __main_void ">i" }
    WITHOUT_INITIALIZE { _start ">" }

    /// Callbacks that have another type in modules of ABI 0.1.0.
    CALLBACKS_0_1_0 {
        proxy_on_request_headers "ii>i"
        proxy_on_response_headers "ii>i"
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

/// The version of the ABI with which Envoy loads a module: that of the first marker which Envoy knows.
pub fn abi(module: &Module<'_>) -> Option<Abi> {
    let functions = module
        .exports
        .iter()
        .filter(|export| export.kind == ExternalKind::Func);
    functions.into_iter().find_map(|export| match export.name {
        "proxy_abi_version_0_1_0" => Some(Abi::V0_1_0),
        "proxy_abi_version_0_2_0" => Some(Abi::V0_2_0),
        ABI_MARKER => Some(Abi::V0_2_1),
        _ => None,
    })
}

/// Returns a function of WASI, by name, if every supported Envoy provides it.
pub fn wasi(name: &str) -> Option<&'static Function> {
    named(WASI, name).or_else(|| named(ENVOY_WASI, name))
}

/// Returns a function of WASI, by name, with the oldest release of Envoy that provides it, if not all do.
pub fn newer_wasi(name: &str) -> Option<(&'static Function, Envoy)> {
    Some((named(ENVOY_1_39_WASI, name)?, Envoy::V1_39))
}

/// Returns the function with that name in a list.
pub fn named(list: &'static [Function], name: &str) -> Option<&'static Function> {
    list.iter().find(|function| function.name == name)
}

/// Whether these bytes are a Proxy-Wasm module. They need not be valid.
pub fn is_plugin(bytes: &[u8]) -> bool {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let exports = payloads.filter_map(|payload| match payload {
        Payload::ExportSection(exports) => Some(exports),
        _ => None,
    });
    let exports = exports.flat_map(|exports| exports.into_iter().map_while(Result::ok));
    exports
        .into_iter()
        .any(|export| export.kind == ExternalKind::Func && export.name.starts_with(ABI_MARKERS))
}

// === impl Abi ===

impl Abi {
    /// Returns a function of module `env`, by name, if every supported Envoy provides it to modules of this version.
    pub fn host(self, name: &str) -> Option<&'static Function> {
        let since = match name {
            "proxy_get_log_level" => Self::V0_2_1,
            "proxy_continue_stream" | "proxy_close_stream" => Self::V0_2_0,
            _ => Self::V0_1_0,
        };
        let old = || named(HOST_0_1_0, name).filter(|_| self == Self::V0_1_0);
        named(HOST, name)
            .filter(|_| self >= since)
            .or_else(old)
            .or_else(|| named(ENVOY, name))
    }

    /// What Envoy looks for among the exports of a module of this version, up to a release.
    pub fn callbacks(
        self,
        has_initialize: bool,
        release: Envoy,
    ) -> impl Iterator<Item = &'static Function> {
        let entry = match has_initialize {
            true => WITH_INITIALIZE,
            false => WITHOUT_INITIALIZE,
        };
        let known = CALLBACKS.iter().filter_map(move |callback| match self {
            Self::V0_1_0 if callback.name == "proxy_on_foreign_function" => None,
            Self::V0_1_0 => Some(named(CALLBACKS_0_1_0, callback.name).unwrap_or(callback)),
            Self::V0_2_0 | Self::V0_2_1 => Some(callback),
        });
        let entry = entry
            .iter()
            .filter(move |it| it.name != "__main_void" || release >= Envoy::V1_39);
        known.chain(ENVOY_CALLBACKS).chain(entry)
    }
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
