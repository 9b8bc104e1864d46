//! `properties`: information about a stream other than its fields.

use tidegate_semantics::hostcalls;

use super::{current::with_stream, http_streams::HttpStream, types::Error};

#[track_caller]
pub fn get(of: &HttpStream, path: &[String]) -> Result<Option<Vec<u8>>, Error> {
    with_stream(of.handle(), |current, stream| {
        // The plugin of that stream, which may differ from the running plugin.
        let context = current.services.contexts.find(of.handle());
        let plugin = context.map_or_else(|| current.plugin(), |it| it.plugin);
        hostcalls::properties::check_open(stream)?;
        let path = hostcalls::properties::join_path(path)?;
        let found = hostcalls::properties::get(&current.services, plugin, stream, &path)?;
        Ok(found.map(Vec::from))
    })
}

#[track_caller]
pub fn set(of: &HttpStream, name: &str, value: &[u8]) -> Result<(), Error> {
    with_stream(of.handle(), |_, stream| {
        hostcalls::properties::check_open(stream)?;
        hostcalls::properties::check_segment(name)?;
        hostcalls::properties::set(stream, name.as_bytes(), value)
    })
}
