//! The hostcalls of Proxy-Wasm for properties: information about a stream or a plugin other than fields and bodies.

use tidegate_semantics::context::Context;
use tidegate_semantics::hostcalls::{plugin_properties, properties};
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, copy_to_guest, memory, require_running, slice, status,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_get_property", get_property)?;
    linker.func_wrap("env", "proxy_set_property", set_property)?;
    Ok(())
}

fn get_property(
    mut host: Host<'_>,
    path: u32,
    path_size: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_property")?;
    let value = memory(&mut host).and_then(|(memory, guest)| {
        let path = slice(memory, path, path_size)?;
        let Context { plugin, stream, .. } = guest.context().ok_or(Status::NotFound)?;
        let found = match stream {
            Some(stream) => properties::get(&guest.services, *plugin, stream, path)?,
            None => plugin_properties::find(&guest.services, *plugin, path),
        };
        found.ok_or(Status::NotFound)
    });
    let value = match value {
        Ok(value) => value,
        Err(status) => return Ok(status as u32),
    };
    Ok(status(copy_to_guest(&mut host, &value, data_at, size_at)?))
}

fn set_property(
    mut host: Host<'_>,
    path: u32,
    path_size: u32,
    value: u32,
    value_size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_property")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let path = slice(memory, path, path_size)?;
        let value = slice(memory, value, value_size)?;
        let stream = guest.stream().ok_or(Status::NotFound)?;
        Ok(properties::set(stream, path, value)?)
    })))
}
