//! The hostcalls of Proxy-Wasm that resume and reset a stream.

use tidegate_semantics::hostcalls::{Error, stream_control};
use tidegate_semantics::vocabulary::Direction;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::{Abi, Status};
use crate::engine::proxy_wasm::guest::{Guest, Host, require_running};

pub(super) fn link(linker: &mut Linker<Guest>, abi: Abi) -> wasmtime::Result<()> {
    match abi {
        Abi::V0_1_0 => {
            linker.func_wrap("env", "proxy_continue_request", |caller: Host<'_>| {
                resume(&caller, "proxy_continue_request", Direction::Request)
            })?;
            linker.func_wrap("env", "proxy_continue_response", |caller: Host<'_>| {
                resume(&caller, "proxy_continue_response", Direction::Response)
            })?;
            // This host has no route cache, because it does not select routes.
            linker.func_wrap("env", "proxy_clear_route_cache", || Status::Ok as u32)?;
        }
        Abi::V0_2_0 | Abi::V0_2_1 => {
            linker.func_wrap("env", "proxy_continue_stream", continue_stream)?;
            linker.func_wrap("env", "proxy_close_stream", close_stream)?;
        }
    }
    Ok(())
}

fn continue_stream(host: Host<'_>, kind: u32) -> wasmtime::Result<u32> {
    match kind {
        0 => resume(&host, "proxy_continue_stream", Direction::Request),
        1 => resume(&host, "proxy_continue_stream", Direction::Response),
        // An HTTP stream has no connection of its own to resume.
        2 => Ok(Status::Ok as u32),
        3 => Ok(Status::Unimplemented as u32),
        _ => Ok(Status::BadArgument as u32),
    }
}

fn resume(host: &Host<'_>, hostcall: &str, direction: Direction) -> wasmtime::Result<u32> {
    require_running(host, hostcall)?;
    let resumed = host
        .data()
        .stream()
        .map_or(Ok(()), |stream| stream_control::resume(stream, direction));
    Ok(status_of_control(resumed))
}

fn close_stream(host: Host<'_>, kind: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_close_stream")?;
    let reset = match kind {
        0 | 1 => host.data().stream().map_or(Ok(()), stream_control::reset),
        2 | 3 => Ok(()),
        _ => return Ok(Status::BadArgument as u32),
    };
    Ok(status_of_control(reset))
}

/// As in Envoy, resuming and resetting a stream that has ended has no effect, and succeeds.
fn status_of_control(result: Result<(), Error>) -> u32 {
    match result {
        Err(error @ Error::Internal) => Status::from(error) as u32,
        _ => Status::Ok as u32,
    }
}
