//! What to do about states that cannot occur: fail in a debug build, and report an error otherwise. The host goes on.

/// Reports an internal error.
#[cold]
pub(crate) fn report(what: &'static str) {
    tracing::error!("internal error, please report it: {what}");
    debug_assert!(false, "internal error: {what}");
}
