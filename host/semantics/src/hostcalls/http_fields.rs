//! `http-fields`: headers and trailers.
//!
//! A plugin can access fields while its own callback for them is running or has paused. Like Envoy, the host revokes
//! the access when the fields are passed on. In the log callback, all fields except request trailers can be read again.

use http::HeaderValue;

use crate::context::StreamContext;
use crate::fields::{Fields, Name, ParsedName};
use crate::hostcalls::{
    Error, MAX_CALL_FIELD_BYTES, MAX_MAP_FIELDS, borrow_state, check_sizes, read_state,
};
use crate::vocabulary::{FieldMap, Phase};

/// Returns the first value of a field.
pub fn get(
    stream: &StreamContext,
    map: FieldMap,
    name: &[u8],
) -> Result<Option<HeaderValue>, Error> {
    read(stream, map, |fields| {
        fields.get(resolve_alias(map, name)).cloned()
    })
}

/// Returns all values of a field, in order.
pub fn values(
    stream: &StreamContext,
    map: FieldMap,
    name: &[u8],
) -> Result<Vec<HeaderValue>, Error> {
    read(stream, map, |fields| {
        fields.values(resolve_alias(map, name)).cloned().collect()
    })
}

/// Calls `collect` with all fields, in order, and returns its result in the form that the engine needs.
pub fn entries<R>(
    stream: &StreamContext,
    map: FieldMap,
    collect: impl FnOnce(&Fields) -> R,
) -> Result<R, Error> {
    read(stream, map, collect)
}

/// Reads a map. In the log callback, a map that was never received is empty, and so are the request trailers, which
/// Envoy no longer has at that point.
fn read<R>(
    stream: &StreamContext,
    map: FieldMap,
    read: impl FnOnce(&Fields) -> R,
) -> Result<R, Error> {
    let state = read_state(stream)?;
    let filter = state.filter(stream.filter);
    let is_logging = filter.phase == Some(Phase::Log);
    if filter.accessible_maps & map.bit() == 0 && !is_logging {
        return Err(Error::NotAvailable);
    }
    let fields = state
        .map(map)
        .filter(|_| !is_logging || map != FieldMap::RequestTrailers);
    match fields {
        Some(fields) => Ok(read(fields)),
        None if is_logging => Ok(read(&Fields::default())),
        None => Err(Error::NotAvailable),
    }
}

/// Returns whether the plugin's log callback is running.
pub fn is_logging(stream: &StreamContext) -> bool {
    stream
        .shared
        .read(|state| state.filter(stream.filter).phase == Some(Phase::Log))
}

/// Returns whether the plugin can currently change a map.
pub fn has_access(stream: &StreamContext, map: FieldMap) -> bool {
    stream
        .shared
        .read(|state| state.filter(stream.filter).accessible_maps & map.bit() != 0)
}

/// Changes a map. Fails if the plugin has no access to it.
fn change<R>(
    stream: &StreamContext,
    map: FieldMap,
    change: impl FnOnce(&mut Fields) -> R,
) -> Result<R, Error> {
    let mut state = borrow_state(stream)?;
    if state.adds_trailers(stream.filter, map) {
        let mut trailers = Fields::new();
        let result = change(&mut trailers);
        // A change that failed adds nothing.
        if !trailers.is_empty() {
            state.add_trailers(stream.filter, map, trailers);
        }
        return Ok(result);
    }
    if state.filter(stream.filter).accessible_maps & map.bit() == 0 {
        return Err(Error::NotAvailable);
    }
    match state.maps.get_mut(map.index()) {
        Some(Some(fields)) => Ok(change(fields)),
        _ => Err(Error::NotAvailable),
    }
}

/// Replaces all values of a field with one value.
pub fn set(stream: &StreamContext, map: FieldMap, name: &[u8], value: &[u8]) -> Result<(), Error> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
    with_parsed_name(map, name, |parsed| {
        change(stream, map, |fields| {
            check_room(fields, false, &value)?;
            fields.set(parsed.name().clone(), value);
            Ok(())
        })?
    })
}

/// Adds a value to a field. If the field is an inline header in Envoy, the value is joined to the existing one.
pub fn append(
    stream: &StreamContext,
    map: FieldMap,
    name: &[u8],
    value: &[u8],
) -> Result<(), Error> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
    with_parsed_name(map, name, |parsed| {
        change(stream, map, |fields| {
            let joins = parsed.is_inline(map);
            check_room(fields, joins, &value)?;
            fields.append_or_join(parsed.name(), joins, value);
            Ok(())
        })?
    })
}

/// Checks whether there is room for one more value. The total size of small values is limited by their number, so it is
/// computed only for a large value, and for one that is joined to another.
fn check_room(fields: &Fields, joins: bool, value: &HeaderValue) -> Result<(), Error> {
    const SMALL: usize = 1024;
    let may_be_large = joins || value.len() > SMALL;
    if fields.len() >= MAX_MAP_FIELDS
        || (may_be_large && fields.byte_size().saturating_add(value.len()) > MAX_CALL_FIELD_BYTES)
    {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// Removes a field with all its values.
pub fn remove(stream: &StreamContext, map: FieldMap, name: &[u8]) -> Result<(), Error> {
    if !Name::is_valid(name) {
        return Err(Error::InvalidArgument);
    }
    change(stream, map, |fields| {
        fields.remove(resolve_alias(map, name))
    })
}

/// Replaces all fields.
pub fn replace_all<'a, I>(stream: &StreamContext, map: FieldMap, entries: I) -> Result<(), Error>
where
    I: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    check_sizes(
        entries
            .clone()
            .map(|(name, value)| name.len() + value.len()),
    )?;
    let entries = entries
        .map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
            with_parsed_name(map, name, |parsed| {
                Ok((parsed.name().clone(), parsed.is_inline(map), value))
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    change(stream, map, |fields| {
        fields.clear();
        for (name, joins, value) in entries {
            fields.append_or_join(&name, joins, value);
        }
    })
}

/// Returns the name of the field that `name` refers to. As in Envoy, `host` refers to `:authority` in request headers.
pub fn resolve_alias(map: FieldMap, name: &[u8]) -> &[u8] {
    if map == FieldMap::RequestHeaders && name.eq_ignore_ascii_case(b"host") {
        b":authority"
    } else {
        name
    }
}

fn with_parsed_name<R>(
    map: FieldMap,
    name: &[u8],
    call: impl FnOnce(&ParsedName) -> Result<R, Error>,
) -> Result<R, Error> {
    ParsedName::with(resolve_alias(map, name), call).unwrap_or(Err(Error::InvalidArgument))
}
