//! `plugin-properties`: attributes of the plugin and of the proxy, which need no stream.

use tidegate_semantics::hostcalls;

use super::{current::current, types::Error};

#[track_caller]
pub fn get(path: &[String]) -> Result<Option<Vec<u8>>, Error> {
    let current = current();
    let found = hostcalls::plugin_properties::get(&current.services, current.plugin(), path)?;
    Ok(found.map(Vec::from))
}
