//! `timers`: the timer of each plugin.

use tidegate_semantics::hostcalls;

use super::{current::current, types::Error};

#[track_caller]
pub fn set_period(milliseconds: u32) -> Result<(), Error> {
    let current = current();
    hostcalls::timers::set_period(&current.services, current.plugin(), milliseconds);
    Ok(())
}
