//! [`OrLog`]: logs the errors of hostcalls that a plugin cannot handle.

use crate::{Error, log};

/// Logs the error of a hostcall and continues. Use it for errors that cannot be handled in any other way.
pub trait OrLog<T> {
    /// Returns the value. On failure, writes a line at level error, such as `cannot add x-y: not-available`, and
    /// returns `None`.
    fn or_log(self, what: &str) -> Option<T>;
}

impl<T> OrLog<T> for Result<T, Error> {
    fn or_log(self, what: &str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(error) => {
                report(what, error);
                None
            }
        }
    }
}

#[cold]
fn report(what: &str, error: Error) {
    let mut line = String::from("cannot ");
    for part in [what, ": ", error.name()] {
        line.push_str(part);
    }
    log::write(log::Level::Error, &line);
}
