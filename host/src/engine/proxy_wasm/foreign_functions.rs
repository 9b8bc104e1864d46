//! The hostcall of Proxy-Wasm for foreign functions.

use tidegate_semantics::hostcalls::foreign_functions;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, copy_to_guest, memory, require_running, slice, status,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_call_foreign_function", call)?;
    Ok(())
}

fn call(
    mut host: Host<'_>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    result_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_call_foreign_function")?;
    let result = memory(&mut host).and_then(|(memory, _)| {
        let name = slice(memory, name, name_size)?;
        let arguments = slice(memory, arguments, arguments_size)?;
        Ok(foreign_functions::call(name, arguments)?)
    });
    match result {
        // As in Envoy, a module that does not want the result passes null.
        Ok(_) if result_at == 0 || size_at == 0 => Ok(Status::Ok as u32),
        Ok(result) => Ok(status(copy_to_guest(
            &mut host, &result, result_at, size_at,
        )?)),
        Err(status) => Ok(status as u32),
    }
}
