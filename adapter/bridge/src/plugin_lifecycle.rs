//! `plugin-lifecycle`: the end of a plugin that the host waits for.
//!
//! The host knows the plugin by the selected context, which is that of the running callback. It finds no plugin that is not pending.

use crate::abi;
use crate::memory::RetPtr;
use crate::types;

#[unsafe(export_name = "plugin-lifecycle#done")]
extern "C" fn done(ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    types::store(ret, types::outcome(abi::proxy_done()));
}
