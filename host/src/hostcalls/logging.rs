//! `logging`: lines in the proxy's log.

use crate::engine::vm::Surroundings;
use crate::logs::Level;

/// Writes one line of a plugin's log.
pub(crate) fn log(around: &Surroundings, plugin: usize, level: Level, message: &str) {
    around.log(plugin, level, message);
}
