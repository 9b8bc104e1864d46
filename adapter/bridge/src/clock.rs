//! `clock`: the proxy's time.

use crate::wasi::clocks::{REALTIME, time};

/// Uses WASI's function and not Proxy-Wasm's, because the host allows only WASI's while the guest's start code runs.
/// Both return the same time.
#[unsafe(export_name = "clock#now")]
extern "C" fn now() -> u64 {
    time(REALTIME)
}
