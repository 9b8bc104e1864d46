//! [`CallbackResult`]: what callbacks may return.
//!
//! Results are converted where the callback returns, because a result may borrow what the callback has borrowed. Only the text of an
//! error is kept, and only as a line in the log.

use std::any::Any;
use std::fmt::Display;

use crate::{Action, Error, failure::report};

/// What a callback may return: `T`, or [`Result<T, E>`](Result) where `E` implements [`Display`].
///
/// `T` is [`Action`] for the callbacks of headers, bodies and trailers, and `()` for
/// [`on_http_call_response`](crate::Plugin::on_http_call_response). An [error](crate#errors) is logged, and the stream ends with
/// status 503. A plugin that returns a plain `T` contains no code for this.
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}`",
    label = "expected `{T}` or `Result<{T}, E>`",
    note = "`E` must implement `Display` and be `'static`"
)]
pub trait CallbackResult<T>: sealed::Sealed<T> {
    /// Returns the value. On failure, writes a line at level error that begins with the name of the callback.
    #[doc(hidden)]
    fn or_report(self, callback: &'static str) -> Option<T>;
}

mod sealed {
    /// Only the types of this module implement [`CallbackResult`](super::CallbackResult).
    pub trait Sealed<T> {}

    impl Sealed<crate::Action> for crate::Action {}
    impl Sealed<()> for () {}
    impl<T, E> Sealed<T> for Result<T, E> {}
}

impl CallbackResult<Action> for Action {
    #[inline(always)]
    fn or_report(self, _: &'static str) -> Option<Action> {
        Some(self)
    }
}

impl CallbackResult<()> for () {
    #[inline(always)]
    fn or_report(self, _: &'static str) -> Option<()> {
        Some(())
    }
}

impl<T, E: Display + 'static> CallbackResult<T> for Result<T, E> {
    #[inline]
    fn or_report(self, callback: &'static str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(error) => {
                // The most common type. Its name is known without formatting code, which then is not linked.
                match (&error as &dyn Any).downcast_ref::<Error>() {
                    Some(error) => report(callback, error.name()),
                    None => report(callback, &error.to_string()),
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::failure::recorder;

    #[test]
    fn plain_values_and_successes_are_passed_on() {
        assert_eq!(Action::Pause.or_report("on_log"), Some(Action::Pause));
        assert_eq!(().or_report("on_log"), Some(()));
        let result: Result<Action, Infallible> = Ok(Action::Continue);
        assert_eq!(result.or_report("on_log"), Some(Action::Continue));
        let result: Result<(), String> = Ok(());
        assert_eq!(result.or_report("on_log"), Some(()));
    }

    #[test]
    fn errors_are_logged_with_the_callback() {
        let result: Result<Action, Error> = Err(Error::NotFound);
        assert_eq!(result.or_report("on_request_headers"), None);
        let result: Result<(), &str> = Err("too late");
        assert_eq!(result.or_report("on_http_call_response"), None);
        let lines = [
            "log on_request_headers failed: not-found",
            "log on_http_call_response failed: too late",
        ];
        assert_eq!(recorder::take(), lines);
    }
}
