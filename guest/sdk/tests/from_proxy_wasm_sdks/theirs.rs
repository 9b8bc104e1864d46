//! The functions of the Proxy-Wasm SDKs for Rust and Go.

/// The version of the crate `proxy-wasm`.
pub const RUST_VERSION: &str = "0.2.5";

/// The methods of the traits of the crate `proxy-wasm`.
pub const RUST: [(&str, &str); 4] = [
    (
        "Context",
        "get_current_time get_property set_property get_shared_data set_shared_data remove_shared_data register_shared_queue
        resolve_shared_queue dequeue_shared_queue enqueue_shared_queue dispatch_http_call on_http_call_response
        get_http_call_response_headers get_http_call_response_headers_bytes get_http_call_response_header
        get_http_call_response_header_bytes get_http_call_response_body get_http_call_response_trailers
        get_http_call_response_trailers_bytes get_http_call_response_trailer get_http_call_response_trailer_bytes
        dispatch_grpc_call on_grpc_call_response get_grpc_call_response_body cancel_grpc_call open_grpc_stream
        on_grpc_stream_initial_metadata get_grpc_stream_initial_metadata get_grpc_stream_initial_metadata_value
        send_grpc_stream_message on_grpc_stream_message get_grpc_stream_message on_grpc_stream_trailing_metadata
        get_grpc_stream_trailing_metadata get_grpc_stream_trailing_metadata_value cancel_grpc_stream close_grpc_stream
        on_grpc_stream_close get_grpc_status on_foreign_function call_foreign_function on_done done",
    ),
    (
        "RootContext",
        "on_vm_start get_vm_configuration on_configure get_plugin_configuration set_tick_period on_tick on_queue_ready on_log
        create_http_context create_stream_context get_type",
    ),
    (
        "StreamContext",
        "on_new_connection on_downstream_data get_downstream_data set_downstream_data resume_downstream close_downstream
        on_downstream_close on_upstream_data get_upstream_data set_upstream_data resume_upstream close_upstream
        on_upstream_close on_log",
    ),
    (
        "HttpContext",
        "on_http_request_headers get_http_request_headers get_http_request_headers_bytes set_http_request_headers
        set_http_request_headers_bytes get_http_request_header get_http_request_header_bytes set_http_request_header
        set_http_request_header_bytes add_http_request_header add_http_request_header_bytes remove_http_request_header
        on_http_request_body get_http_request_body set_http_request_body
        on_http_request_trailers get_http_request_trailers get_http_request_trailers_bytes set_http_request_trailers
        set_http_request_trailers_bytes get_http_request_trailer get_http_request_trailer_bytes set_http_request_trailer
        set_http_request_trailer_bytes add_http_request_trailer add_http_request_trailer_bytes remove_http_request_trailer
        resume_http_request reset_http_request
        on_http_response_headers get_http_response_headers get_http_response_headers_bytes set_http_response_headers
        set_http_response_headers_bytes get_http_response_header get_http_response_header_bytes set_http_response_header
        set_http_response_header_bytes add_http_response_header add_http_response_header_bytes remove_http_response_header
        on_http_response_body get_http_response_body set_http_response_body
        on_http_response_trailers get_http_response_trailers get_http_response_trailers_bytes set_http_response_trailers
        set_http_response_trailers_bytes get_http_response_trailer get_http_response_trailer_bytes set_http_response_trailer
        set_http_response_trailer_bytes add_http_response_trailer add_http_response_trailer_bytes remove_http_response_trailer
        resume_http_response reset_http_response send_http_response send_grpc_response on_log",
    ),
];

/// What else of the crate, and of the crate `log`, is on the page.
pub const MORE_RUST: &str =
    "main set_root_context set_stream_context set_http_context set_log_level log get_log_level get_buffer set_buffer
    set_effective_context define_metric get_metric record_metric increment_metric num_headers Status";

/// The version of the module `github.com/proxy-wasm/proxy-wasm-go-sdk`.
pub const GO_VERSION: &str = "v0.0.0-20260105142703-44c7d5847745";

/// The functions of the package `proxywasm`, the methods of its metrics, and those of the contexts in the package `types`.
pub const GO: &str =
    "GetVMConfiguration GetPluginConfiguration SetTickPeriodMilliSeconds SetEffectiveContext RegisterSharedQueue ResolveSharedQueue
    EnqueueSharedQueue DequeueSharedQueue PluginDone DispatchHttpCall GetHttpCallResponseHeaders GetHttpCallResponseBody
    GetHttpCallResponseTrailers GetDownstreamData AppendDownstreamData PrependDownstreamData ReplaceDownstreamData GetUpstreamData
    AppendUpstreamData PrependUpstreamData ReplaceUpstreamData ContinueTcpStream CloseDownstream CloseUpstream
    GetHttpRequestHeaders ReplaceHttpRequestHeaders GetHttpRequestHeader RemoveHttpRequestHeader ReplaceHttpRequestHeader
    AddHttpRequestHeader GetHttpRequestBody AppendHttpRequestBody PrependHttpRequestBody ReplaceHttpRequestBody
    GetHttpRequestTrailers ReplaceHttpRequestTrailers GetHttpRequestTrailer RemoveHttpRequestTrailer ReplaceHttpRequestTrailer
    AddHttpRequestTrailer ResumeHttpRequest
    GetHttpResponseHeaders ReplaceHttpResponseHeaders GetHttpResponseHeader RemoveHttpResponseHeader ReplaceHttpResponseHeader
    AddHttpResponseHeader GetHttpResponseBody AppendHttpResponseBody PrependHttpResponseBody ReplaceHttpResponseBody
    GetHttpResponseTrailers ReplaceHttpResponseTrailers GetHttpResponseTrailer RemoveHttpResponseTrailer ReplaceHttpResponseTrailer
    AddHttpResponseTrailer ResumeHttpResponse SendHttpResponse GetSharedData SetSharedData GetProperty GetPropertyMap SetProperty
    CallForeignFunction LogTrace LogTracef LogDebug LogDebugf LogInfo LogInfof LogWarn LogWarnf LogError LogErrorf LogCritical
    LogCriticalf DefineCounterMetric DefineGaugeMetric DefineHistogramMetric Value Increment Add Record
    OnVMStart NewPluginContext OnPluginStart OnPluginDone OnQueueReady OnTick NewTcpContext NewHttpContext
    OnNewConnection OnDownstreamData OnDownstreamClose OnUpstreamData OnUpstreamClose OnStreamDone
    OnHttpRequestHeaders OnHttpRequestBody OnHttpRequestTrailers OnHttpResponseHeaders OnHttpResponseBody OnHttpResponseTrailers
    OnHttpStreamDone";

/// What else of the module, and of Go, is on the page.
pub const MORE_GO: &str = "SetVMContext SetPluginContext SetHttpContext SetTcpContext numHeaders Now ErrorStatus proxytest";
