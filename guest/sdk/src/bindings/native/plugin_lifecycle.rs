//! `plugin-lifecycle`: the end of a plugin that the proxy waits for.

use tidegate_semantics::hostcalls;

use super::{current::current, types::Error};

#[track_caller]
pub fn done() -> Result<(), Error> {
    let current = current();
    hostcalls::plugin_lifecycle::done(&current.services, current.plugin())?;
    Ok(())
}
