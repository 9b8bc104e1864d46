//! `logging`: writing to the proxy's log.

use crate::context::Services;
use crate::logs::Level;

/// Writes one line to the log of a plugin.
pub fn log(services: &Services, plugin: usize, level: Level, message: &str) {
    services.log(plugin, level, message);
}

/// Returns the lowest level of which lines are kept.
pub fn lowest(services: &Services) -> Level {
    services.logs.level()
}
