//! The hostcalls of Proxy-Wasm for buffers: the bodies of a stream, the body of the response to an HTTP call, and the configurations.

use bytes::Bytes;
use tidegate_semantics::hostcalls::{http_bodies, vm_configuration};
use tidegate_semantics::state::body::Body;
use tidegate_semantics::vocabulary::Direction;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::{Buffer, Status};
use crate::engine::proxy_wasm::guest::{
    Guest, Host, MemoryResult, allocate_and_fill, memory, require_running, slice, status, write_u32,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer_bytes)?;
    linker.func_wrap("env", "proxy_get_buffer_status", get_buffer_status)?;
    linker.func_wrap("env", "proxy_set_buffer_bytes", set_buffer_bytes)?;
    Ok(())
}

/// Returns the size of a buffer in bytes. An absent body is empty, as in Envoy.
fn buffer_size(guest: &Guest, buffer: Buffer) -> MemoryResult<usize> {
    match buffer {
        Buffer::Body(direction) => {
            Ok(with_body(guest, direction, |body| body.len()).unwrap_or_default())
        }
        Buffer::PluginConfiguration => guest
            .configuration
            .as_ref()
            .map(Bytes::len)
            .ok_or(Status::NotFound),
        Buffer::VmConfiguration => Ok(vm_configuration::get(&guest.services).len()),
        Buffer::CallBody => guest
            .http_call_response
            .as_ref()
            .map(|response| response.body.len())
            .ok_or(Status::NotFound),
        Buffer::Empty => Ok(0),
    }
}

fn with_body<R>(
    guest: &Guest,
    direction: Direction,
    call: impl FnOnce(&mut Body) -> R,
) -> MemoryResult<R> {
    let stream = guest.stream().ok_or(Status::BadArgument)?;
    Ok(http_bodies::with_current_or_paused_body(
        stream, direction, call,
    )?)
}

fn get_buffer_bytes(
    mut host: Host<'_>,
    buffer: u32,
    start: u32,
    max: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_buffer_bytes")?;
    let buffer = match Buffer::from_number(buffer) {
        Ok(buffer) => buffer,
        Err(status) => return Ok(status as u32),
    };
    let total = match buffer_size(host.data(), buffer) {
        Ok(total) => total,
        Err(status) => return Ok(status as u32),
    };
    let (start, max) = (start as usize, max as usize);
    let size = total.saturating_sub(start).min(max);
    let copied =
        allocate_and_fill(
            &mut host,
            size,
            data_at,
            size_at,
            |destination, guest| match buffer {
                Buffer::Body(direction) => with_body(guest, direction, |body| {
                    copy_range(body, start, destination)
                })
                .unwrap_or(false),
                Buffer::PluginConfiguration => {
                    copy_slice(guest.configuration.as_ref(), start, destination)
                }
                Buffer::VmConfiguration => {
                    let configuration = vm_configuration::get(&guest.services);
                    copy_slice(Some(configuration), start, destination)
                }
                Buffer::CallBody => {
                    let body = guest.http_call_response.as_ref().map(|it| &it.body);
                    copy_slice(body, start, destination)
                }
                Buffer::Empty => false,
            },
        )?;
    Ok(status(copied))
}

fn copy_slice(bytes: Option<&Bytes>, start: usize, destination: &mut [u8]) -> bool {
    let end = start.saturating_add(destination.len());
    match bytes.and_then(|it| it.get(start..end)) {
        Some(bytes) => {
            destination.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}

fn copy_range(body: &Body, start: usize, mut destination: &mut [u8]) -> bool {
    for slice in body.range(start, destination.len()) {
        match destination.split_off_mut(..slice.len()) {
            Some(part) => part.copy_from_slice(slice),
            None => return false,
        }
    }
    destination.is_empty()
}

fn get_buffer_status(
    mut host: Host<'_>,
    buffer: u32,
    size_at: u32,
    flags_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_buffer_status")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let size = buffer_size(guest, Buffer::from_number(buffer)?)?;
        write_u32(memory, size_at, u32::try_from(size).unwrap_or(u32::MAX))?;
        write_u32(memory, flags_at, 0)
    })))
}

fn set_buffer_bytes(
    mut host: Host<'_>,
    buffer: u32,
    start: u32,
    size: u32,
    data: u32,
    data_size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_buffer_bytes")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let direction = match Buffer::from_number(buffer)? {
            Buffer::Body(direction) => direction,
            Buffer::PluginConfiguration if guest.configuration.is_none() => {
                return Err(Status::NotFound);
            }
            Buffer::CallBody if guest.http_call_response.is_none() => return Err(Status::NotFound),
            Buffer::PluginConfiguration
            | Buffer::VmConfiguration
            | Buffer::CallBody
            | Buffer::Empty => return Err(Status::BadArgument),
        };
        let data = slice(memory, data, data_size)?;
        let (start, size) = (start as usize, size as usize);
        with_body(guest, direction, |body| {
            // Envoy can change the beginning and the end of a buffer, but nothing in between.
            let removed = if start == 0 { size } else { 0 };
            if start > 0 && start < body.len() {
                return Err(Status::BadArgument);
            }
            http_bodies::check_room(body.len().saturating_sub(removed), data)?;
            let data = Bytes::copy_from_slice(data);
            if start == 0 {
                body.drain_front(size);
                body.push_front(data);
            } else {
                body.push_back(data);
            }
            Ok(())
        })?
    })))
}
