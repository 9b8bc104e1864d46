//! Messages of the `log` crate, which many libraries use.

use std::fmt::Arguments;

use log_crate::{Level as Theirs, LevelFilter, Log, Metadata, Record};

use super::{Level, is_kept, write_fmt};

/// Passes the messages of the [`log`](log_crate) crate to the proxy, those of libraries among them.
///
/// Call it in [`configure`](crate::Plugin::configure). It has no effect if the instance has a logger already, for example because a
/// plugin is deployed twice. Only the text of a message is passed on, without its target and its key-value pairs. Messages at levels
/// trace and debug that the proxy does not keep are not formatted.
///
/// Both this module and the crate are called `log`. A plugin that depends on the crate itself must say which one it means, with
/// `use tidegate_guest::log;` or with `::log::info!`.
///
/// ```
/// use tidegate_guest::prelude::*;
///
/// struct Chatty;
///
/// #[plugin]
/// impl Plugin for Chatty {
///     type Config = ();
///     type Stream = ();
///
///     fn configure(_: ()) -> Result<Self, ConfigError> {
///         log::install();
///         Ok(Chatty)
///     }
///
///     fn on_log(&self, _: &mut (), http: &mut HttpStream) {
///         log::info!("stream {} has ended", http.id());
///     }
/// }
/// ```
pub fn install() {
    if log_crate::set_logger(&ProxyLogger).is_ok() {
        // The proxy decides, and its level can change.
        log_crate::set_max_level(LevelFilter::Trace);
    }
}

/// An implementation of the `log` crate's [`Log`] that writes to the proxy's log. [`install`] uses it. Use it directly if a plugin combines
/// several loggers.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxyLogger;

impl Log for ProxyLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = metadata.level();
        // As with this module's macros: the other levels are hardly ever left out, and asking costs a hostcall.
        level <= Theirs::Info || is_kept(converted(level))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let message: &Arguments<'_> = record.args();
            write_fmt(converted(record.level()), *message);
        }
    }

    fn flush(&self) {}
}

fn converted(level: Theirs) -> Level {
    match level {
        Theirs::Error => Level::Error,
        Theirs::Warn => Level::Warn,
        Theirs::Info => Level::Info,
        Theirs::Debug => Level::Debug,
        Theirs::Trace => Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_their_namesakes() {
        for level in Theirs::iter() {
            let name = format!("Level::{level:?}").to_ascii_lowercase();
            let converted = format!("{:?}", converted(level)).to_ascii_lowercase();
            assert_eq!(converted, name);
        }
    }

    #[test]
    fn usual_levels_are_enabled_without_a_hostcall() {
        for level in [Theirs::Error, Theirs::Warn, Theirs::Info] {
            let metadata = Metadata::builder().level(level).build();
            assert!(ProxyLogger.enabled(&metadata), "{level}");
        }
    }
}
