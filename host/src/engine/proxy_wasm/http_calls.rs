//! The hostcalls of Proxy-Wasm for HTTP calls and timers.

use bytes::Bytes;
use tidegate_semantics::hostcalls::http_calls::{self, Call};
use tidegate_semantics::hostcalls::{Error, timers};
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, MemoryResult, memory, require_running, slice, status, write_u32,
};
use crate::engine::proxy_wasm::pairs;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_http_call", http_call)?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        set_tick_period_milliseconds,
    )?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn http_call(
    mut host: Host<'_>,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout_ms: u32,
    id_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_http_call")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        // As in Envoy, the address is checked before the request is sent.
        write_u32(memory, id_at, 0)?;
        let call = Call {
            cluster: slice(memory, cluster, cluster_size)?,
            headers: pairs::deserialize(slice(memory, headers, headers_size)?),
            body: Bytes::copy_from_slice(slice(memory, body, body_size)?),
            trailers: pairs::deserialize(slice(memory, trailers, trailers_size)?),
            timeout_ms,
        };
        let sent = http_calls::send_any(&guest.services, guest.plugin(), call);
        write_u32(memory, id_at, sent.map_err(to_status)?)
    })))
}

/// Envoy does not distinguish an unknown cluster from an invalid argument.
fn to_status(error: Error) -> Status {
    match error {
        Error::NotFound => Status::BadArgument,
        error => error.into(),
    }
}

fn set_tick_period_milliseconds(host: Host<'_>, period: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_tick_period_milliseconds")?;
    let guest = host.data();
    timers::set_period(&guest.services, guest.plugin(), period);
    Ok(status(MemoryResult::Ok(())))
}
