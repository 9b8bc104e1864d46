//! Reports states that cannot occur: a debug build panics, and a release build logs an error and continues.

/// Reports an internal error.
#[cold]
pub fn report(what: &'static str) {
    tracing::error!("internal error, please report it: {what}");
    debug_assert!(false, "internal error: {what}");
}
