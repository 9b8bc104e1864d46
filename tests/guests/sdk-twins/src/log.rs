//! Logging.

use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;

/// Logs a line at level info.
pub fn info(line: &str) {
    log(LogLevel::Info, line);
}

/// Logs a line at level error.
pub fn error(line: &str) {
    log(LogLevel::Error, line);
}

/// Logs a line at level critical, which the originals use for failed hostcalls.
pub fn critical(line: &str) {
    log(LogLevel::Critical, line);
}

fn log(level: LogLevel, line: &str) {
    // An error of the log could not be logged either.
    let _ = hostcalls::log(level, line);
}
