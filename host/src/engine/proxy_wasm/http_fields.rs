//! The hostcalls of Proxy-Wasm for header maps: those of a stream, and those of the response to an HTTP call.

use tidegate_semantics::context::StreamContext;
use tidegate_semantics::fields::Fields;
use tidegate_semantics::hostcalls::{Error, http_fields};
use tidegate_semantics::vocabulary::FieldMap;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::{Abi, Map, Status};
use crate::engine::proxy_wasm::guest::{
    Guest, Host, MemoryResult, allocate_and_fill, copy_to_guest, memory, require_running, slice,
    status, write_u32,
};
use crate::engine::proxy_wasm::pairs;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
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
    Ok(())
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
                let fields = http_call_fields(guest, map).ok_or(Status::BadArgument)?;
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
fn http_call_fields(guest: &Guest, map: Map) -> Option<&Fields> {
    let response = guest.http_call_response.as_ref()?;
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
        map => http_call_fields(guest, map).map(read).unwrap_or_default(),
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
    let (name, value) = ((name, name_size), (value, value_size));
    let added = change_value(&mut host, map, name, value, http_fields::append);
    Ok(status(added))
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
    let (name, value) = ((name, name_size), (value, value_size));
    let replaced = change_value(&mut host, map, name, value, http_fields::set);
    Ok(status(replaced))
}

/// Calls `change` with a name and a value, each of which the guest passes by address and size.
fn change_value(
    host: &mut Host<'_>,
    map: u32,
    name: (u32, u32),
    value: (u32, u32),
    change: impl FnOnce(&StreamContext, FieldMap, &[u8], &[u8]) -> Result<(), Error>,
) -> MemoryResult<()> {
    let (memory, guest) = memory(host)?;
    let name = slice(memory, name.0, name.1)?;
    let value = slice(memory, value.0, value.1)?;
    let (stream, map) = resolve_map(guest, map)?;
    Ok(change(stream, map, name, value)?)
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
