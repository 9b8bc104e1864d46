//! What `wit/` says, as Rust: the one place where it is read.
//!
//! The world is `all`; a plugin need not export all of it, so the engine looks up each interface by itself and does not use the
//! generated world. Imported interfaces are implemented in `engine/component/imports.rs`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "tidegate:proxy/all@0.1.0",
    with: {
        "tidegate:proxy/http-streams.http-stream": HttpStream,
    },
});

/// One HTTP stream, as a guest's handle: its representation is the number of its context.
pub enum HttpStream {}
