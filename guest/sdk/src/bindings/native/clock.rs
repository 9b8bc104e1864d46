//! `clock`: the proxy's clock.

use tidegate_semantics::hostcalls;

use super::current::current;

#[track_caller]
pub fn now() -> u64 {
    hostcalls::clock::now(&current().services)
}
