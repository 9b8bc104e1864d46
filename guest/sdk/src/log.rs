//! Messages in the proxy's log. Wraps the contract's `logging` interface.
//!
//! `log::info!("…")` and the macros for the other levels accept the same arguments as `format!`. A message without
//! arguments is not formatted, so it does not pull formatting code into the module.
//!
//! The proxy does not keep messages of every level. `log::trace!` and `log::debug!` ask it first, with [`is_kept`]: if the
//! message would not be kept, its arguments are not evaluated, and nothing is formatted. The other macros do not ask, so
//! that a plugin that uses only those does not import the hostcall.
//!
//! With the cargo feature `log`, `install` passes on the messages of the `log` crate, which many libraries use.

use std::fmt;

use crate::bindings::logging;

#[cfg(feature = "log")]
mod facade;

#[cfg(feature = "log")]
pub use facade::{ProxyLogger, install};

pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info,
    __log_trace as trace, __log_warn as warn,
};
pub use logging::Level;

/// Writes a log message. The proxy's configuration determines which levels are logged.
pub fn write(level: Level, message: &str) {
    logging::log(level, message);
}

/// Returns the lowest level whose messages the proxy keeps.
pub fn lowest() -> Level {
    logging::lowest()
}

/// Returns whether the proxy keeps messages of a level. Use it where it costs time to collect what a message says.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// /// Logs all headers of a request.
/// fn trace(http: &HttpStream) {
///     if log::is_kept(log::Level::Trace) {
///         for (name, value) in http.request_headers().entries().or_log("read the headers").unwrap_or_default() {
///             log::write(log::Level::Trace, &format!("{name}: {}", value.escape_ascii()));
///         }
///     }
/// }
/// ```
pub fn is_kept(level: Level) -> bool {
    level >= lowest()
}

/// Writes a formatted log message. The logging macros expand to calls of this function.
#[doc(hidden)]
#[inline(always)]
pub fn write_fmt(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(message) => write(level, message),
        None => write(level, &fmt::format(message)),
    }
}

/// Writes a message at level trace, if the proxy keeps it.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace { ($($message:tt)+) => { if $crate::log::is_kept($crate::log::Level::Trace) { $crate::log::write_fmt($crate::log::Level::Trace, ::core::format_args!($($message)+)) } }; }

/// Writes a message at level debug, if the proxy keeps it.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug { ($($message:tt)+) => { if $crate::log::is_kept($crate::log::Level::Debug) { $crate::log::write_fmt($crate::log::Level::Debug, ::core::format_args!($($message)+)) } }; }

/// Writes a message at level info.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Info, ::core::format_args!($($message)+)) }; }

/// Writes a message at level warn.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Warn, ::core::format_args!($($message)+)) }; }

/// Writes a message at level error.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Error, ::core::format_args!($($message)+)) }; }

/// Writes a message at level critical, which every proxy logs unless logging is off.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_critical { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Critical, ::core::format_args!($($message)+)) }; }
