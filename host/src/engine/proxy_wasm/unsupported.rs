//! Hostcalls of Proxy-Wasm that this host does not implement yet. They link, so that modules that import them start, and
//! return what Envoy returns if the object in question does not exist.

use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{Guest, link_constant, require_running};

/// Declares the functions: their names, their parameters and what they return.
macro_rules! unsupported {
    ($($name:literal ($($argument:ty),*) => $status:ident;)*) => {
        /// The hostcalls that link but are not implemented.
        pub const UNSUPPORTED: &[&str] = &[$($name),*];

        pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
            link_constant! { linker, "env", require_running, Status,
                $($name ($($argument),*) => $status;)*
            }
            Ok(())
        }
    };
}

// A call or stream of gRPC fails because there is no such service, and the other functions because there is no such call.
unsupported! {
    "envoy_resolve_dns" (u32, u32, u32) => BadArgument;
    "proxy_grpc_call" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32) => ParseFailure;
    "proxy_grpc_cancel" (u32) => BadArgument;
    "proxy_grpc_close" (u32) => BadArgument;
    "proxy_grpc_send" (u32, u32, u32, u32) => BadArgument;
    "proxy_grpc_stream" (u32, u32, u32, u32, u32, u32, u32, u32, u32) => ParseFailure;
}
