//! `properties`: what is known of a stream beside its fields, by path.
//!
//! A path is what Proxy-Wasm has: segments with zeros between them. The attributes are Envoy's, those of them that this host
//! knows; what somebody else said that they are, as a test does, comes before what they are here. Those that are made of headers
//! are there when these can be read. What plugins leave on a stream is found under its whole path, behind everything else.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;

use crate::attributes::number;
use crate::context::{Services, StreamContext};
use crate::hostcalls::{Error, http_fields, open};
use crate::vocabulary::FieldMap;

/// A path's segments, or name and value together, have no more bytes.
const MAX_SIZE: usize = 1 << 16;

/// How many values plugins leave on one stream at most, so that none fills the machine's memory. Envoy has no limit.
const MAX_LEFT: usize = 256;

/// What stands before a header's name.
const HEADERS: &[u8] = b"headers\0";

/// What a path of the proxy's own attributes begins with: nothing that a plugin leaves is found there.
const OWN: [&[u8]; 22] = [
    b"cluster_metadata",
    b"cluster_name",
    b"connection",
    b"connection_id",
    b"destination",
    b"filter_state",
    b"listener_direction",
    b"listener_metadata",
    b"metadata",
    b"node",
    b"plugin_name",
    b"plugin_root_id",
    b"plugin_vm_id",
    b"request",
    b"response",
    b"route_metadata",
    b"route_name",
    b"source",
    b"upstream",
    b"upstream_filter_state",
    b"upstream_host_metadata",
    b"xds",
];

/// What is made of attributes, and has no form of its own.
const GROUPS: [&[u8]; 7] = [
    b"connection",
    b"destination",
    b"filter_state",
    b"request",
    b"response",
    b"source",
    b"upstream",
];

/// The path of some segments.
pub(crate) fn path(segments: &[String]) -> Result<Vec<u8>, Error> {
    let size = segments.iter().fold(0_usize, |size, segment| {
        size.saturating_add(1).saturating_add(segment.len())
    });
    if size > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let mut path = Vec::with_capacity(size);
    for segment in segments {
        check_segment(segment)?;
        path.extend_from_slice(segment.as_bytes());
        path.push(0);
    }
    // Behind the last segment there is no zero. A path of none is no path.
    path.pop().ok_or(Error::InvalidArgument)?;
    Ok(path)
}

/// Whether something can be a segment: an empty one would be lost, and one with a zero would become two.
pub(crate) fn check_segment(segment: &str) -> Result<(), Error> {
    if segment.is_empty() || segment.contains('\0') {
        return Err(Error::InvalidArgument);
    }
    Ok(())
}

/// Whether a stream's properties can be asked for at all.
pub(crate) fn check_open(of: &StreamContext) -> Result<(), Error> {
    open(of).map(drop)
}

/// The value at a path, for the plugin of this number.
pub(crate) fn get(
    services: &Services,
    plugin: usize,
    of: &StreamContext,
    path: &[u8],
) -> Result<Option<Bytes>, Error> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    if let Some(value) = services.attributes.get(path) {
        return Ok(Some(value.clone()));
    }
    if let Some(value) = of_plugin(services, plugin, path) {
        return Ok(Some(value));
    }
    if let Some(value) = of_headers(of, path)? {
        return Ok(Some(value));
    }
    let state = of.shared.state.try_borrow().map_err(|_| Error::Internal)?;
    if state.ended {
        return Err(Error::Closed);
    }
    if GROUPS.contains(&path) {
        return Err(Error::Malformed);
    }
    if let Some(value) = state.connection.and_then(|it| it.attribute(path)) {
        return Ok(Some(value));
    }
    if let (b"response\0code", Some(code)) = (path, state.code) {
        return Ok(Some(number(code.into())));
    }
    // What was left under a path of several segments is not found again, as in Envoy.
    if path.contains(&0) || OWN.contains(&path) {
        return Ok(None);
    }
    let mut left = state.left.iter();
    Ok(left
        .find(|(at, _)| **at == *path)
        .map(|(_, value)| value.clone()))
}

/// What is known where there is no stream.
pub(crate) fn of_plugin(services: &Services, plugin: usize, path: &[u8]) -> Option<Bytes> {
    match path {
        // The manifests that are made for Envoy name the root after the plugin.
        b"plugin_name" | b"plugin_root_id" => {
            let name = services.plugins.get(plugin)?;
            Some(Bytes::copy_from_slice(name.as_bytes()))
        }
        b"plugin_vm_id" => Some(Bytes::new()),
        _ => None,
    }
}

/// The attributes that are made of headers.
fn of_headers(of: &StreamContext, path: &[u8]) -> Result<Option<Bytes>, Error> {
    let (map, attribute) = if let Some(attribute) = path.strip_prefix(b"request\0") {
        (FieldMap::RequestHeaders, attribute)
    } else if let Some(attribute) = path.strip_prefix(b"response\0") {
        (FieldMap::ResponseHeaders, attribute)
    } else {
        return Ok(None);
    };
    let read = http_fields::entries(of, map, |fields| {
        let value = |name: &str| fields.get(name).map(|value| value.as_bytes());
        let found: Cow<'_, [u8]> = match (map, attribute) {
            (_, attribute) if attribute.starts_with(HEADERS) => {
                let name = attribute.get(HEADERS.len()..)?;
                let values: Vec<_> = fields.values(name).map(HeaderValue::as_bytes).collect();
                if values.is_empty() {
                    return None;
                }
                values.join(&b","[..]).into()
            }
            (FieldMap::RequestHeaders, b"path") => value(":path")?.into(),
            (FieldMap::RequestHeaders, b"url_path") => split_query(value(":path")?).0.into(),
            (FieldMap::RequestHeaders, b"query") => split_query(value(":path")?).1.into(),
            (FieldMap::RequestHeaders, b"host") => value(":authority")?.into(),
            (FieldMap::RequestHeaders, b"scheme") => value(":scheme")?.into(),
            (FieldMap::RequestHeaders, b"method") => value(":method")?.into(),
            (FieldMap::RequestHeaders, b"referer") => value("referer")?.into(),
            (FieldMap::RequestHeaders, b"useragent") => value("user-agent")?.into(),
            (FieldMap::RequestHeaders, b"id") => value("x-request-id")?.into(),
            _ => return None,
        };
        Some(Bytes::copy_from_slice(&found))
    });
    match read {
        // What has not come yet, or has gone on, is no error here.
        Err(Error::NotAvailable) => Ok(None),
        read => read,
    }
}

/// A path before its query, and the query without its fragment.
fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let (path, query) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut parts = query.splitn(2, |byte| *byte == b'#');
    (path, parts.next().unwrap_or_default())
}

/// Leaves a value on a stream.
pub(crate) fn set(of: &StreamContext, path: &[u8], value: &[u8]) -> Result<(), Error> {
    let mut state = open(of)?;
    if path.len().saturating_add(value.len()) > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let value = Bytes::copy_from_slice(value);
    let left = &mut state.left;
    if let Some((_, there)) = left.iter_mut().find(|(at, _)| **at == *path) {
        *there = value;
    } else if left.len() < MAX_LEFT {
        left.push((path.into(), value));
    } else {
        return Err(Error::TooLarge);
    }
    Ok(())
}
