//! The bridge: the imports and callbacks of the WIT world, implemented over Proxy-Wasm, as a core module.
//!
//! The adapter links this module with a component's own core modules. The component's imports are bound to functions
//! that are exported here under `<interface>#<function>`. The host calls the `proxy_on_*` functions that are exported
//! here, and these call the component's exports, which are imported from module `guest`. `README.md` next to this crate
//! is the contract with the linker. `build_recipe.rs` contains the command that builds the checked-in artefact.
//!
//! The module has no data, no elements, no table, no start function and no memory of its own. Its stack and its state
//! are allocated by the guest's allocator. Nothing here may therefore be a `static`, and text that is longer than a
//! word or two is not written as a literal, because it would become a data segment. Modules form no import cycle.
//! Functions written for the canonical ABI take its flattened core types and write results where the caller says.
//!
//! Every hostcall is synchronous and the module is single-threaded, but the host may call `proxy_on_memory_allocate`
//! during a hostcall. State is therefore made of cells and never borrowed mutably.

#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

// Shared by everything else.
mod abi;
mod arena;
mod contexts;
mod http_call_types;
mod lines;
mod map;
mod memory;
mod output;
mod pairs;
mod running;
mod state;
mod streams;
mod syntax;
mod text;
mod types;

// The world's imports.
mod clock;
mod foreign_functions;
mod http_bodies;
mod http_calls;
mod http_fields;
mod http_streams;
mod local_responses;
mod logging;
mod metrics;
mod plugin_lifecycle;
mod plugin_properties;
mod properties;
mod shared_data;
mod shared_queues;
mod stream_control;
mod timers;
mod vm_configuration;

// The world's exports.
mod callback;
mod http_filter;
mod lifecycle;
mod on_http_call_response;
mod on_log;
mod on_plugin_done;
mod on_plugin_http_call_response;
mod on_queue_ready;
mod on_request_body;
mod on_request_headers;
mod on_request_trailers;
mod on_response_body;
mod on_response_headers;
mod on_response_trailers;
mod on_tick;
mod plugin;

// What language runtimes import in addition to the world.
mod wasi;
mod wasi_preview1;

/// No code here panics. Where the compiler cannot prove this, a panic is a trap.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
