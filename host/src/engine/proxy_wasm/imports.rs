//! The hostcalls of Proxy-Wasm, in module `env`: they read arguments from the guest's memory and write results to it.
//!
//! Their semantics are in `hostcalls`; this file adds how Envoy responds. `foreign_functions`, `http_calls`, `metrics`, `properties`,
//! `shared_data` and `shared_queues` contain the hostcalls of those interfaces, `unsupported` those that have no counterpart in this host yet.

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use crate::context::StreamContext;
use crate::engine::proxy_wasm::abi::{Abi, Buffer, Map, Status};
use crate::engine::proxy_wasm::guest::{
    Guest, MemoryResult, allocate_and_fill, copy_to_guest, memory, require_running, slice, status,
    write_u32, write_u64,
};
use crate::engine::proxy_wasm::pairs;
use crate::fields::Fields;
use crate::hostcalls::{
    Error, clock, http_bodies, http_fields, local_responses, logging, plugin_lifecycle,
    stream_control, vm_configuration,
};
use crate::logs::Level;
use crate::state::body::Body;
use crate::vocabulary::{Direction, FieldMap};

/// Links the imports that a module of this ABI may have. Those that only another version has are missing, as in Envoy.
pub(crate) fn link(linker: &mut Linker<Guest>, abi: Abi) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_log", log)?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        get_current_time,
    )?;
    linker.func_wrap("env", "proxy_get_header_map_value", get_header_map_value)?;
    linker.func_wrap("env", "proxy_add_header_map_value", add_header_map_value)?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        replace_header_map_value,
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        remove_header_map_value,
    )?;
    linker.func_wrap("env", "proxy_get_header_map_pairs", get_header_map_pairs)?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", set_header_map_pairs)?;
    linker.func_wrap("env", "proxy_get_header_map_size", get_header_map_size)?;
    linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer_bytes)?;
    linker.func_wrap("env", "proxy_get_buffer_status", get_buffer_status)?;
    linker.func_wrap("env", "proxy_set_buffer_bytes", set_buffer_bytes)?;
    linker.func_wrap("env", "proxy_send_local_response", send_local_response)?;
    linker.func_wrap("env", "proxy_set_effective_context", set_effective_context)?;
    linker.func_wrap("env", "proxy_done", done)?;
    linker.func_wrap("env", "proxy_get_status", get_status)?;
    linker.func_wrap("env", "pthread_equal", |a: u32, b: u32| u32::from(a == b))?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    match abi {
        Abi::V0_1_0 => {
            linker.func_wrap("env", "proxy_get_configuration", get_configuration)?;
            linker.func_wrap(
                "env",
                "proxy_continue_request",
                |caller: Caller<'_, Guest>| {
                    resume(&caller, "proxy_continue_request", Direction::Request)
                },
            )?;
            linker.func_wrap(
                "env",
                "proxy_continue_response",
                |caller: Caller<'_, Guest>| {
                    resume(&caller, "proxy_continue_response", Direction::Response)
                },
            )?;
            // This host has no route cache, because it does not select routes.
            linker.func_wrap("env", "proxy_clear_route_cache", || Status::Ok as u32)?;
        }
        Abi::V0_2_0 | Abi::V0_2_1 => {
            linker.func_wrap("env", "proxy_continue_stream", continue_stream)?;
            linker.func_wrap("env", "proxy_close_stream", close_stream)?;
        }
    }
    if abi == Abi::V0_2_1 {
        linker.func_wrap("env", "proxy_get_log_level", get_log_level)?;
    }
    super::foreign_functions::link(linker)?;
    super::http_calls::link(linker)?;
    super::metrics::link(linker)?;
    super::properties::link(linker)?;
    super::shared_data::link(linker)?;
    super::shared_queues::link(linker)?;
    super::unsupported::link(linker, abi)
}

type Host<'a> = Caller<'a, Guest>;

fn log(mut host: Host<'_>, level: u32, data: u32, size: u32) -> u32 {
    status(memory(&mut host).and_then(|(memory, guest)| {
        let level = usize::try_from(level)
            .ok()
            .and_then(|it| Level::ALL.get(it))
            .ok_or(Status::BadArgument)?;
        guest.log(*level, &String::from_utf8_lossy(slice(memory, data, size)?));
        Ok(())
    }))
}

fn get_log_level(mut host: Host<'_>, level_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_log_level")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        write_u32(memory, level_at, logging::lowest(&guest.services) as u32)
    })))
}

fn get_current_time(mut host: Host<'_>, time_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_current_time_nanoseconds")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        write_u64(memory, time_at, clock::now(&guest.services))
    })))
}

fn get_header_map_value(
    mut host: Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_header_map_value")?;
    let found = memory(&mut host).and_then(|(memory, guest)| {
        let map = Map::from_number(map)?;
        let name = slice(memory, name, name_size)?;
        let value = match map {
            Map::Stream(map) => {
                let (stream, map) = readable_map(guest, map)?;
                http_fields::get(stream, map, name)?
            }
            map => {
                let fields = call_fields(guest, map).ok_or(Status::BadArgument)?;
                fields.get(name).cloned()
            }
        };
        match value {
            Some(value) => Ok(Some(value)),
            // ABI 0.1.0 does not distinguish an absent field from an empty one.
            None if guest.abi == Abi::V0_1_0 => Ok(None),
            None => Err(Status::NotFound),
        }
    });
    let value = match found {
        Ok(value) => value,
        Err(status) => return Ok(status as u32),
    };
    let bytes = value.as_ref().map_or(&[][..], |it| it.as_bytes());
    Ok(status(copy_to_guest(&mut host, bytes, data_at, size_at)?))
}

/// Returns the stream and the map that a guest may read. In the log callback, Envoy provides all maps except the request
/// trailers, and reports an absent map as `NotFound` instead of `BadArgument`.
fn readable_map(guest: &Guest, map: FieldMap) -> MemoryResult<(&StreamContext, FieldMap)> {
    let stream = guest.stream().ok_or(Status::BadArgument)?;
    let is_present = http_fields::entries(stream, map, |_| ()).is_ok();
    if http_fields::is_logging(stream) {
        if is_present && map != FieldMap::RequestTrailers {
            Ok((stream, map))
        } else {
            Err(Status::NotFound)
        }
    } else if is_present {
        Ok((stream, map))
    } else {
        Err(Status::BadArgument)
    }
}

/// Returns the fields of the response to an HTTP call, in its callback.
fn call_fields(guest: &Guest, map: Map) -> Option<&Fields> {
    let response = guest.call_response.as_ref()?;
    match map {
        Map::CallHeaders => Some(&response.headers),
        Map::CallTrailers => Some(&response.trailers),
        Map::Stream(_) | Map::Absent => None,
    }
}

/// Calls `read` with the fields of a map. An absent map reads as empty.
fn with_map<R: Default>(guest: &Guest, map: Map, read: impl FnOnce(&Fields) -> R) -> R {
    match map {
        Map::Stream(map) => readable_map(guest, map)
            .and_then(|(stream, map)| Ok(http_fields::entries(stream, map, read)?))
            .unwrap_or_default(),
        map => call_fields(guest, map).map(read).unwrap_or_default(),
    }
}

/// Returns the stream and the map that a guest wants to change. `http_fields` decides whether it may.
fn resolve_map(guest: &Guest, map: u32) -> MemoryResult<(&StreamContext, FieldMap)> {
    let Map::Stream(map) = Map::from_number(map)? else {
        return Err(Status::BadArgument);
    };
    Ok((guest.stream().ok_or(Status::BadArgument)?, map))
}

fn add_header_map_value(
    mut host: Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_add_header_map_value")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let (name, value) = (
            slice(memory, name, name_size)?,
            slice(memory, value, value_size)?,
        );
        let (stream, map) = resolve_map(guest, map)?;
        Ok(http_fields::append(stream, map, name, value)?)
    })))
}

fn replace_header_map_value(
    mut host: Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_replace_header_map_value")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let (name, value) = (
            slice(memory, name, name_size)?,
            slice(memory, value, value_size)?,
        );
        let (stream, map) = resolve_map(guest, map)?;
        Ok(http_fields::set(stream, map, name, value)?)
    })))
}

fn remove_header_map_value(
    mut host: Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_remove_header_map_value")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let name = slice(memory, name, name_size)?;
        let (stream, map) = resolve_map(guest, map)?;
        Ok(http_fields::remove(stream, map, name)?)
    })))
}

fn get_header_map_pairs(
    mut host: Host<'_>,
    map: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_header_map_pairs")?;
    let map = match Map::from_number(map) {
        Ok(map) => map,
        Err(status) => return Ok(status as u32),
    };
    let size = with_map(host.data(), map, pairs::serialized_size);
    let copied = allocate_and_fill(&mut host, size, data_at, size_at, |destination, guest| {
        with_map(guest, map, |fields| pairs::serialize(fields, destination))
    })?;
    Ok(status(copied))
}

fn set_header_map_pairs(
    mut host: Host<'_>,
    map: u32,
    data: u32,
    size: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_header_map_pairs")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let data = slice(memory, data, size)?;
        let (stream, map) = resolve_map(guest, map)?;
        Ok(http_fields::replace_all(
            stream,
            map,
            pairs::deserialize(data).into_iter(),
        )?)
    })))
}

fn get_header_map_size(mut host: Host<'_>, map: u32, size_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_header_map_size")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let (stream, map) = resolve_map(guest, map)?;
        // A map that can be read only in the log callback has no size, as in Envoy.
        if !http_fields::has_access(stream, map) {
            return Err(Status::BadArgument);
        }
        let size = http_fields::entries(stream, map, |fields| fields.byte_size())?;
        write_u32(memory, size_at, u32::try_from(size).unwrap_or(u32::MAX))
    })))
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
            .call_response
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
                    let body = guest.call_response.as_ref().map(|it| &it.body);
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
            Buffer::CallBody if guest.call_response.is_none() => return Err(Status::NotFound),
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

fn set_effective_context(mut host: Host<'_>, id: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_effective_context")?;
    let guest = host.data_mut();
    if guest.current.as_ref().is_some_and(|it| it.id == id) {
        guest.effective = None;
        return Ok(Status::Ok as u32);
    }
    match guest.services.contexts.find(id) {
        Some(context) => {
            guest.effective = Some(context);
            Ok(Status::Ok as u32)
        }
        None => Ok(Status::BadArgument as u32),
    }
}

/// Reports that a plugin is done whose `proxy_on_done` has returned 0. As in Envoy, it is not found if nobody waits for it.
fn done(host: Host<'_>) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_done")?;
    let guest = host.data();
    let done = plugin_lifecycle::done(&guest.services, guest.plugin());
    Ok(done.map_or(Status::NotFound, |()| Status::Ok) as u32)
}

/// Returns the status of the last HTTP call that ended without a response.
fn get_status(
    mut host: Host<'_>,
    code_at: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_status")?;
    let (code, message) = host.data().call_status;
    let written = memory(&mut host).and_then(|(memory, _)| write_u32(memory, code_at, code));
    if let Err(error) = written {
        return Ok(error as u32);
    }
    Ok(status(copy_to_guest(
        &mut host,
        message.as_bytes(),
        data_at,
        size_at,
    )?))
}

fn get_configuration(mut host: Host<'_>, data_at: u32, size_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_configuration")?;
    let configuration = host.data().configuration.clone().unwrap_or_default();
    Ok(status(copy_to_guest(
        &mut host,
        &configuration,
        data_at,
        size_at,
    )?))
}
