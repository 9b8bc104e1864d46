//! `http-fields`: headers and trailers.
//!
//! A plugin can read and change them while its own callback for them runs, or has paused: Envoy forgets them when they go on.
//! In the log callback all that there were can be read once more.

use http::HeaderValue;

use crate::context::StreamContext;
use crate::fields::{Fields, Known, Name};
use crate::hostcalls::{Error, MAX_FIELD_BYTES, MAX_MAP, check_sizes, open};
use crate::vocabulary::{FieldMap, Phase};

/// The first value of a field.
pub(crate) fn get(
    of: &StreamContext,
    map: FieldMap,
    name: &[u8],
) -> Result<Option<HeaderValue>, Error> {
    read(of, map, |fields| fields.get(alias(map, name)).cloned())
}

/// All values of a field, in order.
pub(crate) fn values(
    of: &StreamContext,
    map: FieldMap,
    name: &[u8],
) -> Result<Vec<HeaderValue>, Error> {
    read(of, map, |fields| {
        fields.values(alias(map, name)).cloned().collect()
    })
}

/// All fields, in order, as the engine wants them.
pub(crate) fn entries<R>(
    of: &StreamContext,
    map: FieldMap,
    collect: impl FnOnce(&Fields) -> R,
) -> Result<R, Error> {
    read(of, map, collect)
}

/// Reads a map. In the log callback one that never was is empty, and so are the trailers of the request, which Envoy has lost by
/// then.
fn read<R>(of: &StreamContext, map: FieldMap, read: impl FnOnce(&Fields) -> R) -> Result<R, Error> {
    let state = of.shared.state.try_borrow().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    let filter = state.filter(of.filter);
    let is_logging = filter.phase == Some(Phase::Log);
    if filter.live & map.bit() == 0 && !is_logging {
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

/// Whether the plugin's log callback runs.
pub(crate) fn is_logging(of: &StreamContext) -> bool {
    of.shared
        .read(|state| state.filter(of.filter).phase == Some(Phase::Log))
}

/// Whether the plugin may change a map now.
pub(crate) fn is_live(of: &StreamContext, map: FieldMap) -> bool {
    of.shared
        .read(|state| state.filter(of.filter).live & map.bit() != 0)
}

/// Changes a map.
fn change<R>(
    of: &StreamContext,
    map: FieldMap,
    change: impl FnOnce(&mut Fields) -> R,
) -> Result<R, Error> {
    let mut state = open(of)?;
    if state.filter(of.filter).live & map.bit() == 0 {
        return Err(Error::NotAvailable);
    }
    match state.maps.get_mut(map.index()) {
        Some(Some(fields)) => Ok(change(fields)),
        _ => Err(Error::NotAvailable),
    }
}

/// Replaces all values of a field by one.
pub(crate) fn set(
    of: &StreamContext,
    map: FieldMap,
    name: &[u8],
    value: &[u8],
) -> Result<(), Error> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
    with_name(map, name, |known| {
        change(of, map, |fields| {
            check_room(fields, false, &value)?;
            fields.set(known.name().clone(), value);
            Ok(())
        })?
    })
}

/// Adds a value. To one that Envoy keeps in a slot, it joins that.
pub(crate) fn append(
    of: &StreamContext,
    map: FieldMap,
    name: &[u8],
    value: &[u8],
) -> Result<(), Error> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
    with_name(map, name, |known| {
        change(of, map, |fields| {
            let joins = known.joins(map);
            check_room(fields, joins, &value)?;
            fields.add(known.name(), joins, value);
            Ok(())
        })?
    })
}

/// Whether there is room for one more value. Small ones are bounded by their number, so that the others' sizes matter only to a
/// large one, and to one that joins another.
fn check_room(fields: &Fields, joins: bool, value: &HeaderValue) -> Result<(), Error> {
    const SMALL: usize = 1024;
    let may_be_large = joins || value.len() > SMALL;
    if fields.len() >= MAX_MAP
        || (may_be_large && fields.byte_size().saturating_add(value.len()) > MAX_FIELD_BYTES)
    {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// Removes a field.
pub(crate) fn remove(of: &StreamContext, map: FieldMap, name: &[u8]) -> Result<(), Error> {
    if !Name::is_valid(name) {
        return Err(Error::InvalidArgument);
    }
    change(of, map, |fields| fields.remove(alias(map, name)))
}

/// Replaces all fields.
pub(crate) fn replace_all<'a, I>(of: &StreamContext, map: FieldMap, entries: I) -> Result<(), Error>
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
            with_name(map, name, |known| {
                Ok((known.name().clone(), known.joins(map), value))
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    change(of, map, |fields| {
        fields.clear();
        for (name, joins, value) in entries {
            fields.add(&name, joins, value);
        }
    })
}

/// By `host`, Envoy lets a request's `:authority` be called, too.
fn alias(map: FieldMap, name: &[u8]) -> &[u8] {
    if map == FieldMap::RequestHeaders && name.eq_ignore_ascii_case(b"host") {
        b":authority"
    } else {
        name
    }
}

fn with_name<R>(
    map: FieldMap,
    name: &[u8],
    call: impl FnOnce(&Known) -> Result<R, Error>,
) -> Result<R, Error> {
    Known::with(alias(map, name), call).unwrap_or(Err(Error::InvalidArgument))
}
