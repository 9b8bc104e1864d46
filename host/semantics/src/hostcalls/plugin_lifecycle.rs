//! `plugin-lifecycle`: the end of a plugin that the proxy waits for.

use crate::context::Services;
use crate::hostcalls::Error;

/// Reports that a plugin is done. It is dropped when the current callback has returned.
pub fn done(services: &Services, plugin: usize) -> Result<(), Error> {
    match services.ending.report_done(plugin) {
        true => Ok(()),
        false => Err(Error::NotAvailable),
    }
}
