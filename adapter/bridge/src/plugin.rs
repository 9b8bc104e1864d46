//! `plugin`: reads the configuration, hands it to the plugin and keeps the plugin context that it makes.

use crate::abi::{self, BUFFER_PLUGIN_CONFIGURATION, LEVEL_ERROR};
use crate::contexts::{self, Phase};
use crate::memory::{List, bytes, trap, word};
use crate::state::{State, state};

/// A stored `result<plugin-context, string>`.
#[repr(C)]
struct Configured {
    is_refusal: u8,
    /// The plugin context, or where the reason is.
    payload: u32,
    reason_len: usize,
}

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "plugin#[static]plugin-context.configure"]
    fn configure(configuration: *const u8, configuration_len: usize) -> *const Configured;
    #[link_name = "plugin#[dtor]plugin-context"]
    safe fn destruct(plugin: u32);
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "plugin#[static]plugin-context.configure"]
    fn configure_post(result: *const Configured);
}

/// Drops a plugin context.
pub(crate) fn drop(plugin: u32) {
    destruct(plugin);
}

/// Configures a plugin, or configures it anew: then the plugin context that it had goes once there is another.
#[unsafe(export_name = "proxy_on_configure")]
extern "C" fn proxy_on_configure(root: u32, size: u32) -> u32 {
    let state = state();
    contexts::begin(state, root, 0, Phase::Plugin);
    let configuration = configuration(state, size);
    // SAFETY: the list is the guest's own by now, and what comes back is where the canonical ABI says.
    let result = unsafe { configure(configuration.start, configuration.len) };
    if !result.is_aligned() {
        trap()
    }
    // SAFETY: the guest keeps its result until its post-return is called, below.
    let Configured {
        is_refusal,
        payload,
        reason_len,
    } = unsafe { result.read() };
    if is_refusal != 0 {
        // SAFETY: as above.
        log_refusal(state, unsafe { bytes(payload as *const u8, reason_len) });
    }
    // SAFETY: `result` is what `configure` returned, and is not read any more.
    unsafe { configure_post(result) };
    if is_refusal != 0 {
        return 0;
    }
    if let Some(former) = state.plugins.put(root, payload) {
        destruct(former);
    }
    1
}

fn configuration(state: &State, size: u32) -> List {
    if size == 0 {
        return List::empty(1);
    }
    // SAFETY: both addresses are cells of the state.
    let status = unsafe {
        abi::proxy_get_buffer_bytes(
            BUFFER_PLUGIN_CONFIGURATION,
            0,
            size,
            state.data.as_ptr(),
            state.size.as_ptr(),
        )
    };
    if status == abi::OK {
        List::received(state)
    } else {
        List::empty(1)
    }
}

/// The host says only that the configuration was refused, so the reason goes to its log.
fn log_refusal(state: &State, reason: &[u8]) {
    const PREFIX: &[u8] = b"configuration refused: ";
    let len = PREFIX.len() + reason.len();
    let line = state.scratch.reserve(len.max(24));
    // SAFETY: the buffer has room for the prefix in whole words and for the reason behind it.
    unsafe {
        line.cast::<u64>().write(const { word(PREFIX, 0) });
        line.cast::<u64>().add(1).write(const { word(PREFIX, 8) });
        line.cast::<u64>().add(2).write(const { word(PREFIX, 16) });
        core::ptr::copy_nonoverlapping(reason.as_ptr(), line.add(PREFIX.len()), reason.len());
        abi::proxy_log(LEVEL_ERROR, line, len);
    }
}
