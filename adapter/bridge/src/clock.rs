//! `clock`: the proxy's time.

use crate::abi;
use crate::state::state;

#[unsafe(export_name = "clock#now")]
extern "C" fn now() -> u64 {
    let state = state();
    // SAFETY: the address is a cell of the state.
    unsafe { abi::proxy_get_current_time_nanoseconds(state.time.as_ptr()) };
    state.time.get()
}
