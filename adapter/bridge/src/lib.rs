//! The WIT world's imports and callbacks over Proxy-Wasm, as a core module.
//!
//! The adapter links this module with a component's own core modules: what the component imports is bound to functions
//! exported here under `<interface>#<function>`, and the host's `proxy_on_*` calls come in here and go on to what the
//! component exports, imported from module `guest`. `README.md` beside this crate is the contract with the linker;
//! `build_recipe.rs` holds the one command that builds the checked-in artefact.
//!
//! The module has no data, no elements, no table, no start function and no memory of its own. Its stack and its state
//! are allocated by the guest, so nothing here may be a `static`, and text longer than a word or two would become a
//! data segment. Modules form no import cycle. Functions written for the canonical ABI take its flattened core types and write results where the
//! caller says.
//!
//! Every hostcall is synchronous and the module is single-threaded, but the host may call
//! `proxy_on_memory_allocate` while a hostcall is under way. State is therefore made of cells and never borrowed mutably.

#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

// What everything else is made of.
mod abi;
mod arena;
mod call;
mod contexts;
mod lines;
mod memory;
mod output;
mod pairs;
mod plugins;
mod state;
mod streams;
mod syntax;
mod text;
mod types;

// The world's imports.
mod clock;
mod http_bodies;
mod http_fields;
mod http_streams;
mod local_responses;
mod logging;
mod properties;
mod shared_data;
mod stream_control;

// The world's exports.
mod callback;
mod http_filter;
mod lifecycle;
mod on_log;
mod on_request_body;
mod on_request_headers;
mod on_response_body;
mod on_response_headers;
mod plugin;

// What languages' runtimes import beside the world.
mod wasi;
mod wasi_preview1;

/// No code here panics; what the compiler cannot prove so ends in a trap.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
