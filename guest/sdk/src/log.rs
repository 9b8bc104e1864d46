//! Lines in the proxy's log, the contract's `logging`.
//!
//! `log::info!("…")` and its sisters take what `format!` takes. A line without arguments is not formatted, so that it
//! brings no formatting into the module.

use std::fmt;

use crate::bindings::logging;

pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info,
    __log_trace as trace, __log_warn as warn,
};
pub use logging::Level;

/// Writes one line. Whether it is kept is for the proxy's configuration to say.
pub fn write(level: Level, message: &str) {
    logging::log(level, message);
}

/// Writes one line of formatted text; the macros end here.
#[doc(hidden)]
#[inline(always)]
pub fn write_fmt(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(message) => write(level, message),
        None => write(level, &fmt::format(message)),
    }
}

/// Writes a line for following what happens step by step.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Trace, ::core::format_args!($($message)+)) }; }

/// Writes a line for finding a mistake.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Debug, ::core::format_args!($($message)+)) }; }

/// Writes a line that is good to know.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Info, ::core::format_args!($($message)+)) }; }

/// Writes a line about what may become a problem.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Warn, ::core::format_args!($($message)+)) }; }

/// Writes a line about what went wrong.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Error, ::core::format_args!($($message)+)) }; }

/// Writes a line that every proxy keeps, unless told to keep none.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_critical { ($($message:tt)+) => { $crate::log::write_fmt($crate::log::Level::Critical, ::core::format_args!($($message)+)) }; }
