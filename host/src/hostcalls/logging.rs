//! `logging`: lines in the proxy's log.

use crate::context::Services;
use crate::logs::Level;

/// Writes one line of a plugin's log.
pub(crate) fn log(services: &Services, plugin: usize, level: Level, message: &str) {
    services.log(plugin, level, message);
}
