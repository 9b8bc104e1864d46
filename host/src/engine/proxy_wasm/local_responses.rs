//! The hostcall of Proxy-Wasm for local responses.

use bytes::Bytes;
use tidegate_semantics::hostcalls::local_responses;
use wasmtime::Linker;

use crate::engine::proxy_wasm::guest::{Guest, Host, memory, require_running, slice, status};
use crate::engine::proxy_wasm::pairs;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_send_local_response", send_local_response)?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn send_local_response(
    mut host: Host<'_>,
    code: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    grpc_status: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_send_local_response")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        // Details are for access logs, which this host does not write.
        slice(memory, details, details_size)?;
        let body = slice(memory, body, body_size)?;
        let headers = slice(memory, headers, headers_size)?;
        if let Some(stream) = guest.stream() {
            let body = Bytes::copy_from_slice(body);
            local_responses::send_unchecked(
                stream,
                code,
                pairs::deserialize(headers).into_iter(),
                body,
                grpc_status,
            )?;
        }
        Ok(())
    })))
}
