//! The host's functions as Proxy-Wasm 0.2.1 declares them, and the numbers that they take and return.
//!
//! Only what the world needs is declared; the linker removes the imports that a plugin does not reach. `types` converts
//! statuses to the contract's errors.

/// Traps, which ends the call and with it the instance. It is called where an invariant is violated.
#[cold]
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// What a `proxy_*` function returns.
pub(crate) type Status = u32;

/// The call succeeded.
pub(crate) const OK: Status = 0;
/// The map or buffer exists, but it does not contain what was named.
pub(crate) const NOT_FOUND: Status = 1;
/// The map does not exist in this phase or can no longer be changed, or an argument is invalid.
pub(crate) const BAD_ARGUMENT: Status = 2;
/// Serialisation failed.
pub(crate) const SERIALIZATION_FAILURE: Status = 3;
/// Parsing failed.
pub(crate) const PARSE_FAILURE: Status = 4;
/// An address that the guest passed is outside its memory.
pub(crate) const INVALID_MEMORY_ACCESS: Status = 6;
/// A queue is empty.
pub(crate) const EMPTY: Status = 7;
/// Another writer came first.
pub(crate) const CAS_MISMATCH: Status = 8;
/// Returned by Envoy for a hostcall that the deployment's capability restriction does not allow, and for an HTTP call
/// that it cannot make.
pub(crate) const INTERNAL_FAILURE: Status = 10;
/// The host does not implement the call.
pub(crate) const UNIMPLEMENTED: Status = 12;

/// The body of the request. The body of the response has the next number.
pub(crate) const BUFFER_REQUEST_BODY: u32 = 0;
/// The body of the response to an HTTP call, in the callback of that call.
pub(crate) const BUFFER_CALL_RESPONSE_BODY: u32 = 4;
/// The configuration of the virtual machine, which several plugins may share.
pub(crate) const BUFFER_VM_CONFIGURATION: u32 = 6;
/// The configuration that the plugin was deployed with.
pub(crate) const BUFFER_PLUGIN_CONFIGURATION: u32 = 7;

/// The headers of the response to an HTTP call, in the callback of that call.
pub(crate) const MAP_CALL_RESPONSE_HEADERS: u32 = 6;
/// The trailers of the response to an HTTP call, in the callback of that call.
pub(crate) const MAP_CALL_RESPONSE_TRAILERS: u32 = 7;

/// The log level of what a plugin prints.
pub(crate) const LEVEL_INFO: u32 = 2;
/// The log level of errors.
pub(crate) const LEVEL_ERROR: u32 = 4;

/// Returned by a callback to continue its phase.
pub(crate) const ACTION_CONTINUE: u32 = 0;
/// Returned by a callback to stop its phase. A body is buffered.
pub(crate) const ACTION_PAUSE: u32 = 1;
/// Returned by a body callback to stop its phase and drop the bytes.
pub(crate) const ACTION_STOP_NO_BUFFER: u32 = 3;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub(crate) fn proxy_log(level: u32, message: *const u8, message_len: usize) -> Status;
    pub(crate) fn proxy_get_log_level(level: *mut u32) -> Status;
    pub(crate) safe fn proxy_set_effective_context(context: u32) -> Status;
    pub(crate) safe fn proxy_done() -> Status;

    pub(crate) fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *mut u32,
        value_len: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_get_header_map_pairs(
        map: u32,
        pairs: *mut u32,
        pairs_len: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_set_header_map_pairs(
        map: u32,
        pairs: *const u8,
        pairs_len: usize,
    ) -> Status;
    pub(crate) fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> Status;
    pub(crate) fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> Status;
    pub(crate) fn proxy_remove_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
    ) -> Status;

    pub(crate) fn proxy_get_buffer_bytes(
        buffer: u32,
        start: u32,
        max: u32,
        data: *mut u32,
        data_len: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_set_buffer_bytes(
        buffer: u32,
        start: u32,
        len: u32,
        data: *const u8,
        data_len: usize,
    ) -> Status;

    pub(crate) fn proxy_get_property(
        path: *const u8,
        path_len: usize,
        value: *mut u32,
        value_len: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_set_property(
        path: *const u8,
        path_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> Status;

    pub(crate) fn proxy_get_shared_data(
        key: *const u8,
        key_len: usize,
        value: *mut u32,
        value_len: *mut u32,
        version: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_set_shared_data(
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        version: u32,
    ) -> Status;

    pub(crate) fn proxy_register_shared_queue(
        name: *const u8,
        name_len: usize,
        queue: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_resolve_shared_queue(
        vm: *const u8,
        vm_len: usize,
        name: *const u8,
        name_len: usize,
        queue: *mut u32,
    ) -> Status;
    pub(crate) fn proxy_enqueue_shared_queue(
        queue: u32,
        data: *const u8,
        data_len: usize,
    ) -> Status;
    pub(crate) fn proxy_dequeue_shared_queue(
        queue: u32,
        data: *mut u32,
        data_len: *mut u32,
    ) -> Status;

    pub(crate) fn proxy_define_metric(
        kind: u32,
        name: *const u8,
        name_len: usize,
        id: *mut u32,
    ) -> Status;
    pub(crate) safe fn proxy_record_metric(id: u32, value: u64) -> Status;
    pub(crate) safe fn proxy_increment_metric(id: u32, by: i64) -> Status;
    pub(crate) fn proxy_get_metric(id: u32, value: *mut u64) -> Status;

    pub(crate) fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_len: usize,
        body: *const u8,
        body_len: usize,
        headers: *const u8,
        headers_len: usize,
        grpc_status: i32,
    ) -> Status;
    pub(crate) safe fn proxy_continue_stream(half: u32) -> Status;
    pub(crate) safe fn proxy_close_stream(half: u32) -> Status;

    pub(crate) fn proxy_http_call(
        cluster: *const u8,
        cluster_len: usize,
        headers: *const u8,
        headers_len: usize,
        body: *const u8,
        body_len: usize,
        trailers: *const u8,
        trailers_len: usize,
        timeout_ms: u32,
        call: *mut u32,
    ) -> Status;
    pub(crate) safe fn proxy_set_tick_period_milliseconds(period: u32) -> Status;

    pub(crate) fn proxy_call_foreign_function(
        name: *const u8,
        name_len: usize,
        arguments: *const u8,
        arguments_len: usize,
        result: *mut u32,
        result_len: *mut u32,
    ) -> Status;
}

// The part of WASI that every release of Envoy has.
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub(crate) fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    pub(crate) fn random_get(buffer: *mut u8, len: usize) -> u32;
    pub(crate) fn environ_get(entries: *mut u32, buffer: *mut u8) -> u32;
    pub(crate) fn environ_sizes_get(count: *mut u32, size: *mut u32) -> u32;
    pub(crate) safe fn proc_exit(code: u32);
}
