//! `plugin-properties`: attributes of the plugin and of the proxy, which need no stream.

use bytes::Bytes;

use crate::context::Services;
use crate::hostcalls::{Error, properties};

/// Returns the value at a path.
pub fn get(services: &Services, plugin: usize, path: &[String]) -> Result<Option<Bytes>, Error> {
    let path = properties::join_path(path)?;
    Ok(find(services, plugin, &path))
}

/// Returns the value at a path in Proxy-Wasm's format.
pub fn find(services: &Services, plugin: usize, path: &[u8]) -> Option<Bytes> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    // Envoy reads other attributes through the stream, and does not always check that there is one.
    let is_known = matches!(path, b"plugin_name" | b"plugin_root_id" | b"plugin_vm_id")
        || path == b"xds\0node"
        || path.starts_with(b"xds\0node\0");
    if !is_known {
        return None;
    }
    let stated = services.attributes.get(path).cloned();
    stated.or_else(|| properties::plugin_attribute(services, plugin, path))
}
