//! `plugin-properties`: attributes of the plugin and of the proxy, which need no stream.

use bytes::Bytes;

use crate::context::Services;
use crate::hostcalls::{Error, properties};

/// Returns the value at a path.
pub(crate) fn get(
    services: &Services,
    plugin: usize,
    path: &[String],
) -> Result<Option<Bytes>, Error> {
    let joined = properties::join_path(path)?;
    // Envoy reads other attributes through the stream, and does not always check that there is one.
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    if !matches!(
        segments[..],
        ["plugin_name" | "plugin_root_id" | "plugin_vm_id"] | ["xds", "node", ..]
    ) {
        return Ok(None);
    }
    let stated = services.attributes.get(&joined).cloned();
    Ok(stated.or_else(|| properties::plugin_attribute(services, plugin, &joined)))
}
