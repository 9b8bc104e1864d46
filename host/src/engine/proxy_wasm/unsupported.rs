//! Hostcalls of Proxy-Wasm that this host does not implement yet. They link, so that modules that import them start, and
//! return what Envoy returns if the object in question does not exist.
//!
//! | hostcall | result |
//! |---|---|
//! | `proxy_grpc_call`, `proxy_grpc_stream` | parse failure: no such service |
//! | `proxy_grpc_send`, `-cancel`, `-close` | bad argument: no such call |
//! | `proxy_resolve_`, `-enqueue_`, `-dequeue_shared_queue` | not found |
//! | `proxy_register_shared_queue` | unimplemented |
//! | `proxy_call_foreign_function` | not found |
//! | `envoy_resolve_dns` | bad argument |
//!
//! Those that return unimplemented write a warning to the plugin's log, because SDKs tend to panic on that status.

use wasmtime::{Caller, Linker};

use crate::engine::proxy_wasm::abi::{Abi, Status};
use crate::engine::proxy_wasm::guest::{Guest, require_not_allocating, require_running};
use crate::logs::Level;

/// The hostcalls that link but are not implemented.
pub const UNSUPPORTED: &[&str] = &[
    "envoy_resolve_dns",
    "proxy_call_foreign_function",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
];

type Host<'a> = Caller<'a, Guest>;
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
        "proxy_register_shared_queue",
        |host: Host<'_>, _: u32, _: u32, _: u32| {
            unimplemented(&host, "proxy_register_shared_queue")
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |host: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_resolve_shared_queue", Status::NotFound)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |host: Host<'_>, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_enqueue_shared_queue", Status::NotFound)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |host: Host<'_>, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_dequeue_shared_queue", Status::NotFound)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |host: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            unavailable(&host, "proxy_call_foreign_function", Status::NotFound)
        },
    )?;
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

fn unimplemented(host: &Host<'_>, hostcall: &str) -> HostcallResult {
    require_not_allocating(host, hostcall)?;
    require_running(host, hostcall)?;
    host.data().log(
        Level::Warn,
        &format!("`{hostcall}` is not implemented by this proxy"),
    );
    Ok(Status::Unimplemented as u32)
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
