//! `vm-configuration`: the configuration that all plugins of an instance share, which the host can read at any time.

use crate::abi::{self, BUFFER_VM_CONFIGURATION};
use crate::memory::{List, RetPtr};
use crate::state::state;

#[unsafe(export_name = "vm-configuration#get")]
extern "C" fn get(ret: *mut u8) {
    // SAFETY: the caller provides space for a `list<u8>`.
    let ret = unsafe { RetPtr::new(ret) };
    let state = state();
    // SAFETY: both addresses point to cells of the state.
    let status = unsafe {
        abi::proxy_get_buffer_bytes(
            BUFFER_VM_CONFIGURATION,
            0,
            u32::MAX,
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    };
    if status != abi::OK {
        state.size.set(0);
    }
    ret.list(0, List::received(state));
}
