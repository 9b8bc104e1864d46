//! `http-fields`: headers and trailers.
//!
//! A plugin can read and change them while its own callback for them runs, or has paused: Envoy forgets them when they go on.
//! In the log callback all that there were can be read once more.

use http::HeaderValue;

use crate::engine::vm::StreamContext;
use crate::fields::{Fields, Name};
use crate::hostcalls::{Error, check_sizes};
use crate::stream::state::{FieldMap, Phase};

/// Reads a map.
pub(crate) fn read<R>(
    of: &StreamContext,
    map: FieldMap,
    read: impl FnOnce(&Fields) -> R,
) -> Result<R, Error> {
    let state = of.shared.state.try_borrow().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    let filter = state.filter(of.filter);
    if filter.live & map.bit() == 0 && filter.phase != Some(Phase::Log) {
        return Err(Error::NotAvailable);
    }
    state.map(map).map(read).ok_or(Error::NotAvailable)
}

/// Whether the plugin's log callback runs.
pub(crate) fn is_logging(of: &StreamContext) -> bool {
    of.shared
        .state
        .try_borrow()
        .is_ok_and(|state| state.filter(of.filter).phase == Some(Phase::Log))
}

/// Whether the plugin may change a map now.
pub(crate) fn is_live(of: &StreamContext, map: FieldMap) -> bool {
    of.shared
        .state
        .try_borrow()
        .is_ok_and(|state| state.filter(of.filter).live & map.bit() != 0)
}

/// Changes a map.
fn change<R>(
    of: &StreamContext,
    map: FieldMap,
    change: impl FnOnce(&mut Fields) -> R,
) -> Result<R, Error> {
    let mut state = of
        .shared
        .state
        .try_borrow_mut()
        .map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
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
    let (name, value) = field(name, value)?;
    change(of, map, |fields| fields.set(name, value))
}

/// Adds a value.
pub(crate) fn append(
    of: &StreamContext,
    map: FieldMap,
    name: &[u8],
    value: &[u8],
) -> Result<(), Error> {
    let (name, value) = field(name, value)?;
    change(of, map, |fields| fields.append(name, value))
}

/// Removes a field.
pub(crate) fn remove(of: &StreamContext, map: FieldMap, name: &[u8]) -> Result<(), Error> {
    if !Name::is_valid(name) {
        return Err(Error::InvalidArgument);
    }
    change(of, map, |fields| fields.remove(name))
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
        .map(|(name, value)| field(name, value))
        .collect::<Result<Vec<_>, Error>>()?;
    change(of, map, |fields| fields.replace_all(entries))
}

fn field(name: &[u8], value: &[u8]) -> Result<(Name, HeaderValue), Error> {
    let name = Name::parse(name).ok_or(Error::InvalidArgument)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Error::InvalidArgument)?;
    Ok((name, value))
}
