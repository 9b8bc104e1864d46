//! [`OrLog`]: for hostcalls whose failure a plugin can only report.

use crate::{Error, log};

/// What to do with a hostcall's error when there is nothing to be done: say it in the log, and go on.
pub trait OrLog<T> {
    /// The value, or none after a line at level error such as `cannot add x-y: not-available`.
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
