//! `logging`: writing to the proxy's log.

use tidegate_semantics::{hostcalls, logs};

use super::current::current;

pub use super::generated::logging::Level;

#[track_caller]
pub fn log(level: Level, message: &str) {
    let current = current();
    hostcalls::logging::log(&current.services, current.plugin(), level.into(), message);
}

#[track_caller]
pub fn lowest() -> Level {
    hostcalls::logging::lowest(&current().services).into()
}

impl From<Level> for logs::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => logs::Level::Trace,
            Level::Debug => logs::Level::Debug,
            Level::Info => logs::Level::Info,
            Level::Warn => logs::Level::Warn,
            Level::Error => logs::Level::Error,
            Level::Critical => logs::Level::Critical,
        }
    }
}

impl From<logs::Level> for Level {
    fn from(level: logs::Level) -> Self {
        match level {
            logs::Level::Trace => Level::Trace,
            logs::Level::Debug => Level::Debug,
            logs::Level::Info => Level::Info,
            logs::Level::Warn => Level::Warn,
            logs::Level::Error => Level::Error,
            logs::Level::Critical => Level::Critical,
        }
    }
}
