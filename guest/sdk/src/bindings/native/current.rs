//! The plugin whose code is running, which hostcalls apply to.

use std::{cell::RefCell, rc::Rc};

use tidegate_semantics::{
    context::{Context, Services, StreamContext},
    hostcalls::{self, http_streams},
};

use super::types::Error;

/// What hostcalls can reach while a function of a plugin runs.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) services: Rc<Services>,
    pub(crate) context: Context,
    /// Whether the function creates or ends something.
    pub(crate) is_in_lifecycle: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Restores what was running before, also after a panic.
struct Restore(Option<Current>);

/// Runs a function of a plugin.
pub(crate) fn enter<R>(current: Current, run: impl FnOnce() -> R) -> R {
    let before = CURRENT.replace(Some(current));
    let _restore = Restore(before);
    run()
}

/// Returns what the running hostcall applies to.
///
/// # Panics
///
/// Panics if no function of a plugin is running: there is no proxy that could answer.
#[track_caller]
pub(super) fn current() -> Current {
    match CURRENT.with_borrow(Clone::clone) {
        Some(current) => current,
        None => panic!(
            "a hostcall was made outside of a plugin's callbacks; let `tidegate_guest::testing::Proxy` call them"
        ),
    }
}

/// Calls a function with the stream that a handle refers to.
#[track_caller]
pub(super) fn with_stream<R>(
    handle: u32,
    call: impl FnOnce(&Current, &StreamContext) -> Result<R, hostcalls::Error>,
) -> Result<R, Error> {
    let current = current();
    let result = http_streams::with(
        &current.services,
        Some(&current.context),
        handle,
        |stream| call(&current, stream),
    );
    Ok(result?)
}

impl Current {
    /// Returns the index of the running plugin.
    pub(super) fn plugin(&self) -> usize {
        self.context.plugin
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
