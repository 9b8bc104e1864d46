//! `plugin-lifecycle`: ends a plugin whose deletion the host has deferred.
//!
//! The host identifies the plugin by the selected context, which is that of the running callback. It finds only plugins
//! that are pending.

use crate::abi;
use crate::memory::RetPtr;
use crate::types;

#[unsafe(export_name = "plugin-lifecycle#done")]
extern "C" fn done(ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<_, error>`.
    let ret = unsafe { RetPtr::new(ret) };
    types::store(ret, types::outcome(abi::proxy_done()));
}
