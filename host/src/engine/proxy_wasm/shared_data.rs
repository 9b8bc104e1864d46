//! The hostcalls of Proxy-Wasm for data that the workers of a proxy share.

use bytes::Bytes;
use tidegate_semantics::hostcalls::shared_data;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, copy_to_guest, memory, require_running, slice, status, write_u32,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_get_shared_data", get_shared_data)?;
    linker.func_wrap("env", "proxy_set_shared_data", set_shared_data)?;
    Ok(())
}

fn get_shared_data(
    mut host: Host<'_>,
    key: u32,
    key_size: u32,
    data_at: u32,
    size_at: u32,
    version_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_shared_data")?;
    let stored = memory(&mut host).and_then(|(memory, guest)| {
        let key = slice(memory, key, key_size)?;
        shared_data::get(&guest.services, key).ok_or(Status::NotFound)
    });
    let stored = match stored {
        Ok(stored) => stored,
        Err(status) => return Ok(status as u32),
    };
    let given = copy_to_guest(&mut host, &stored.value, data_at, size_at)?;
    Ok(status(given.and_then(|()| {
        memory(&mut host).and_then(|(memory, _)| write_u32(memory, version_at, stored.version))
    })))
}

fn set_shared_data(
    mut host: Host<'_>,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
    version: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_shared_data")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let key = slice(memory, key, key_size)?;
        let value = Bytes::copy_from_slice(slice(memory, value, value_size)?);
        Ok(shared_data::set_by_version(
            &guest.services,
            key,
            value,
            version,
        )?)
    })))
}
