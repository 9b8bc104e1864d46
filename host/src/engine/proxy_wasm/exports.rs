//! The exports of a module: their types, and the functions that the host calls.

use tidegate_semantics::vocabulary::Phase;
use wasmtime::{FuncType, Store, TypedFunc, ValType, WasmParams, WasmResults};

use crate::engine::EventCallback;
use crate::engine::proxy_wasm::abi::Abi;
use crate::engine::proxy_wasm::guest::Guest;

/// The exports that the host calls. All of them are optional.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) on_context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) on_vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) on_configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) on_request_headers: Option<OnHeaders>,
    pub(super) on_request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) on_request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) on_response_headers: Option<OnHeaders>,
    pub(super) on_response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) on_response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) on_log: Option<TypedFunc<u32, ()>>,
    pub(super) on_http_call_response: Option<OnHttpCallResponse>,
    pub(super) on_tick: Option<TypedFunc<u32, ()>>,
    pub(super) on_queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) on_done: Option<TypedFunc<u32, u32>>,
    pub(super) on_delete: Option<TypedFunc<u32, ()>>,
}

/// The callback for the outcome of an HTTP call: the plugin's context, the call, and the numbers of headers, bytes and trailers.
pub(super) type OnHttpCallResponse = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// A headers callback. It has one more parameter after ABI 0.1.0.
pub(super) enum OnHeaders {
    V0_1(TypedFunc<(u32, u32), u32>),
    V0_2(TypedFunc<(u32, u32, u32), u32>),
}

/// Looks up exports. Their types were checked when the module was loaded.
pub(super) struct ExportLookup<'a> {
    pub(super) store: &'a mut Store<Guest>,
    pub(super) instance: wasmtime::Instance,
}

/// The exports whose types are checked when a module is loaded: the name, the number of parameters, and whether there is
/// a result. All types are `i32`.
pub(super) const SIGNATURES: [(&str, usize, bool); 21] = [
    ("_initialize", 0, false),
    ("_start", 0, false),
    ("main", 2, true),
    ("__main_void", 0, true),
    ("malloc", 1, true),
    ("proxy_on_memory_allocate", 1, true),
    ("proxy_on_context_create", 2, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_on_configure", 2, true),
    (REQUEST_HEADERS, 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    (RESPONSE_HEADERS, 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_log", 1, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_delete", 1, false),
    (HTTP_CALL_RESPONSE, 5, false),
    ("proxy_on_tick", 1, false),
    ("proxy_on_queue_ready", 2, false),
];

pub(super) const REQUEST_HEADERS: &str = "proxy_on_request_headers";
pub(super) const RESPONSE_HEADERS: &str = "proxy_on_response_headers";
pub(super) const HTTP_CALL_RESPONSE: &str = "proxy_on_http_call_response";

/// The exports that are stream callbacks.
pub(super) const STREAM_CALLBACKS: [(Phase, &str); 7] = [
    (Phase::RequestHeaders, REQUEST_HEADERS),
    (Phase::RequestBody, "proxy_on_request_body"),
    (Phase::RequestTrailers, "proxy_on_request_trailers"),
    (Phase::ResponseHeaders, RESPONSE_HEADERS),
    (Phase::ResponseBody, "proxy_on_response_body"),
    (Phase::ResponseTrailers, "proxy_on_response_trailers"),
    (Phase::Log, "proxy_on_log"),
];

/// The exports that are callbacks for events. One is for the HTTP calls of streams and of the plugin.
pub(super) const EVENT_CALLBACKS: [(EventCallback, &str); 5] = [
    (EventCallback::StreamCallResponse, HTTP_CALL_RESPONSE),
    (EventCallback::PluginCallResponse, HTTP_CALL_RESPONSE),
    (EventCallback::Tick, "proxy_on_tick"),
    (EventCallback::QueueReady, "proxy_on_queue_ready"),
    (EventCallback::PluginDone, "proxy_on_done"),
];

pub(super) fn has_i32_signature(found: &FuncType, parameters: usize, result: bool) -> bool {
    found.params().len() == parameters
        && found.results().len() == usize::from(result)
        && found
            .params()
            .chain(found.results())
            .all(|it| matches!(it, ValType::I32))
}

// === impl ExportLookup ===

impl ExportLookup<'_> {
    pub(super) fn function<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
    ) -> Option<TypedFunc<P, R>> {
        self.instance.get_typed_func(&mut *self.store, name).ok()
    }

    fn on_headers(&mut self, name: &str, abi: Abi) -> Option<OnHeaders> {
        match abi {
            Abi::V0_1_0 => self.function(name).map(OnHeaders::V0_1),
            Abi::V0_2_0 | Abi::V0_2_1 => self.function(name).map(OnHeaders::V0_2),
        }
    }
}

// === impl Exports ===

impl Exports {
    pub(super) fn find(lookup: &mut ExportLookup<'_>, abi: Abi) -> Self {
        Self {
            on_context_create: lookup.function("proxy_on_context_create"),
            on_vm_start: lookup.function("proxy_on_vm_start"),
            on_configure: lookup.function("proxy_on_configure"),
            on_request_headers: lookup.on_headers(REQUEST_HEADERS, abi),
            on_request_body: lookup.function("proxy_on_request_body"),
            on_request_trailers: lookup.function("proxy_on_request_trailers"),
            on_response_headers: lookup.on_headers(RESPONSE_HEADERS, abi),
            on_response_body: lookup.function("proxy_on_response_body"),
            on_response_trailers: lookup.function("proxy_on_response_trailers"),
            on_log: lookup.function("proxy_on_log"),
            on_http_call_response: lookup.function(HTTP_CALL_RESPONSE),
            on_tick: lookup.function("proxy_on_tick"),
            on_queue_ready: lookup.function("proxy_on_queue_ready"),
            on_done: lookup.function("proxy_on_done"),
            on_delete: lookup.function("proxy_on_delete"),
        }
    }
}
