//! `properties`: information about a stream other than its fields, by path.
//!
//! A path has Proxy-Wasm's format: segments separated by zero bytes. The attributes are those of Envoy that this host
//! supports. Values that are set from outside, for example by a test, override the host's own. Attributes that are
//! derived from headers are available while the headers can be read. Properties that plugins set are stored under their
//! whole path, and have the lowest precedence.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;

use crate::attributes::number;
use crate::context::{Services, StreamContext};
use crate::hostcalls::{Error, borrow_state, http_fields, read_state};
use crate::vocabulary::FieldMap;

/// The maximum size of a path, with one byte for the end of each segment, and of name and value together, in bytes.
const MAX_SIZE: usize = 1 << 16;

/// The maximum number of properties that plugins can set on one stream, so that they cannot exhaust the machine's
/// memory. Envoy has no limit.
const MAX_PROPERTIES: usize = 256;

/// The prefix of a header's name in the path of its attribute.
const HEADERS_PREFIX: &[u8] = b"headers\0";

/// The first segments of the paths of the proxy's own attributes. A property that a plugin sets under one of these
/// names cannot be read.
const RESERVED_NAMES: [&[u8]; 22] = [
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

/// Groups of attributes. A group has no value of its own.
const ATTRIBUTE_GROUPS: [&[u8]; 7] = [
    b"connection",
    b"destination",
    b"filter_state",
    b"request",
    b"response",
    b"source",
    b"upstream",
];

/// Joins segments into a path.
pub fn join_path(segments: &[String]) -> Result<Vec<u8>, Error> {
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
    // There is no zero byte after the last segment. A path without segments is invalid.
    path.pop().ok_or(Error::InvalidArgument)?;
    Ok(path)
}

/// Checks a segment. An empty one would be lost, and one that contains a zero byte would become two.
pub fn check_segment(segment: &str) -> Result<(), Error> {
    if segment.is_empty() || segment.contains('\0') {
        return Err(Error::InvalidArgument);
    }
    Ok(())
}

/// Checks that the stream has not ended, so that its properties can be accessed.
pub fn check_open(stream: &StreamContext) -> Result<(), Error> {
    borrow_state(stream).map(drop)
}

/// Returns the value at a path. `plugin` is the index of the calling plugin in [`Services::plugins`].
pub fn get(
    services: &Services,
    plugin: usize,
    stream: &StreamContext,
    path: &[u8],
) -> Result<Option<Bytes>, Error> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    if let Some(value) = services.attributes.get(path) {
        return Ok(Some(value.clone()));
    }
    if let Some(value) = plugin_attribute(services, plugin, path) {
        return Ok(Some(value));
    }
    if let Some(value) = header_attribute(stream, path)? {
        return Ok(Some(value));
    }
    let state = read_state(stream)?;
    if ATTRIBUTE_GROUPS.contains(&path) {
        return Err(Error::Malformed);
    }
    if path == b"request\0time" {
        return Ok(Some(number(stream.shared.began)));
    }
    if let Some(value) = state.connection.and_then(|it| it.attribute(path)) {
        return Ok(Some(value));
    }
    if let (b"response\0code", Some(code)) = (path, state.response_status) {
        return Ok(Some(number(code.into())));
    }
    // As in Envoy, a property that was set under a path of several segments cannot be read.
    if path.contains(&0) || RESERVED_NAMES.contains(&path) {
        return Ok(None);
    }
    let mut properties = state.properties.iter();
    Ok(properties
        .find(|(key, _)| **key == *path)
        .map(|(_, value)| value.clone()))
}

/// Returns the value of an attribute that does not depend on a stream.
pub fn plugin_attribute(services: &Services, plugin: usize, path: &[u8]) -> Option<Bytes> {
    match path {
        // The manifests that are generated for Envoy use the plugin's name as the root ID.
        b"plugin_name" | b"plugin_root_id" => {
            let name = services.plugins.get(plugin)?;
            Some(Bytes::copy_from_slice(name.as_bytes()))
        }
        b"plugin_vm_id" => Some(Bytes::new()),
        _ => None,
    }
}

/// Returns the value of an attribute that is derived from headers.
fn header_attribute(stream: &StreamContext, path: &[u8]) -> Result<Option<Bytes>, Error> {
    let (map, attribute) = if let Some(attribute) = path.strip_prefix(b"request\0") {
        (FieldMap::RequestHeaders, attribute)
    } else if let Some(attribute) = path.strip_prefix(b"response\0") {
        (FieldMap::ResponseHeaders, attribute)
    } else {
        return Ok(None);
    };
    let read = http_fields::entries(stream, map, |fields| {
        let value = |name: &str| fields.get(name).map(|value| value.as_bytes());
        let found: Cow<'_, [u8]> = match (map, attribute) {
            (_, attribute) if attribute.starts_with(HEADERS_PREFIX) => {
                let name = attribute.get(HEADERS_PREFIX.len()..)?;
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
        // Here it is not an error that headers have not arrived yet or were already passed on.
        Err(Error::NotAvailable) => Ok(None),
        read => read,
    }
}

/// Splits a path into the part before the query, and the query without its fragment.
fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let (path, query) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut parts = query.splitn(2, |byte| *byte == b'#');
    (path, parts.next().unwrap_or_default())
}

/// Sets a property on a stream.
pub fn set(stream: &StreamContext, path: &[u8], value: &[u8]) -> Result<(), Error> {
    let mut state = borrow_state(stream)?;
    if path.len().saturating_add(value.len()) > MAX_SIZE {
        return Err(Error::TooLarge);
    }
    let value = Bytes::copy_from_slice(value);
    let properties = &mut state.properties;
    if let Some((_, existing)) = properties.iter_mut().find(|(key, _)| **key == *path) {
        *existing = value;
    } else if properties.len() < MAX_PROPERTIES {
        properties.push((path.into(), value));
    } else {
        return Err(Error::TooLarge);
    }
    Ok(())
}
