//! `timers`: the host has one timer for each plugin.

use crate::abi;
use crate::memory::RetPtr;
use crate::types;

#[unsafe(export_name = "timers#set-period")]
extern "C" fn set_period(milliseconds: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    let status = abi::proxy_set_tick_period_milliseconds(milliseconds);
    types::store(ret, types::outcome(status));
}
