//! Hostcalls of Proxy-Wasm that this host does not implement yet. They link, so that modules that import them start, and
//! return what Envoy returns if the object in question does not exist.
//!
//! | hostcall | result |
//! |---|---|
//! | `proxy_grpc_call`, `proxy_grpc_stream` | parse failure: no such service |
//! | `proxy_grpc_send`, `-cancel`, `-close` | bad argument: no such call |
//! | `envoy_resolve_dns` | bad argument |

use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::{Abi, Status};
use crate::engine::proxy_wasm::guest::{Guest, Host, require_running};

/// The hostcalls that link but are not implemented.
pub const UNSUPPORTED: &[&str] = &[
    "envoy_resolve_dns",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
];

type HostcallResult = wasmtime::Result<u32>;

pub(super) fn link(linker: &mut Linker<Guest>, _: Abi) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |host: Host<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32| unavailable(&host, "proxy_grpc_call", Status::ParseFailure),
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |host: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_grpc_stream", Status::ParseFailure)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |host: Host<'_>, _: u32, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_grpc_send", Status::BadArgument)
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_cancel", |host: Host<'_>, _: u32| {
        unavailable(&host, "proxy_grpc_cancel", Status::BadArgument)
    })?;
    linker.func_wrap("env", "proxy_grpc_close", |host: Host<'_>, _: u32| {
        unavailable(&host, "proxy_grpc_close", Status::BadArgument)
    })?;
    linker.func_wrap(
        "env",
        "envoy_resolve_dns",
        |host: Host<'_>, _: u32, _: u32, _: u32| {
            unavailable(&host, "envoy_resolve_dns", Status::BadArgument)
        },
    )?;
    Ok(())
}

fn unavailable(host: &Host<'_>, hostcall: &str, answer: Status) -> HostcallResult {
    require_running(host, hostcall)?;
    Ok(answer as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_list_matches_linked_functions() {
        let engine = wasmtime::Engine::default();
        let mut linker = Linker::new(&engine);
        link(&mut linker, Abi::V0_2_1).unwrap();
        for name in UNSUPPORTED {
            // Defining a name a second time is an error.
            assert!(linker.func_wrap("env", name, || ()).is_err(), "{name}");
        }
        let source = include_str!("unsupported.rs");
        let linked = source.matches("linker.func_wrap(\n        \"env\"").count()
            + source.matches("linker.func_wrap(\"env\", \"").count();
        assert_eq!(linked, UNSUPPORTED.len());
    }
}
