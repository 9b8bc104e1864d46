//! `plugin`: reads the configuration, passes it to the plugin, and keeps the plugin context that the plugin returns.
//! Callbacks that are not those of a stream run through here.

use crate::abi::{self, BUFFER_PLUGIN_CONFIGURATION, LEVEL_ERROR, trap};
use crate::contexts;
use crate::memory::{self, List, allocate_argument, discriminant, into_argument};
use crate::running::{Phase, SavedCallback};
use crate::state::{State, state};
use crate::text::word;

/// A stored `result<plugin-context, string>`.
#[repr(C)]
struct Configured {
    is_refusal: u8,
    /// The plugin context, or the address of the reason.
    payload: u32,
    reason_len: usize,
}

#[link(wasm_import_module = "guest")]
unsafe extern "C" {
    #[link_name = "plugin#[static]plugin-context.configure"]
    fn configure(configuration: *const u8, configuration_len: usize) -> *const Configured;
}

#[link(wasm_import_module = "guest-dtor")]
unsafe extern "C" {
    #[link_name = "plugin#plugin-context"]
    safe fn destruct(plugin: u32);
}

#[link(wasm_import_module = "guest-post")]
unsafe extern "C" {
    #[link_name = "plugin#[static]plugin-context.configure"]
    fn configure_post(result: *const Configured);
}

/// Runs a callback of the plugin whose root context is `root`. Nothing is run if the plugin refused its configuration, or if the context
/// is not that of a plugin.
#[inline(always)]
pub(crate) fn run_event<R>(root: u32, callback: impl FnOnce(&State, u32) -> R) -> Option<R> {
    let state = state();
    let plugin = state.plugins.find(root)?;
    let saved = SavedCallback::save(&state.running);
    contexts::begin(state, root, 0, Phase::Event);
    let result = callback(state, plugin);
    contexts::end_event(state);
    saved.restore(&state.running);
    Some(result)
}

/// Drops a plugin context.
pub(crate) fn drop(plugin: u32) {
    destruct(plugin);
}

/// Configures a plugin. If it was configured before, its plugin context is dropped once there is a new one.
#[unsafe(export_name = "proxy_on_configure")]
extern "C" fn proxy_on_configure(root: u32, size: u32) -> u32 {
    let state = state();
    contexts::begin(state, root, 0, Phase::Lifecycle);
    let configuration = configuration(state, size);
    // SAFETY: the guest owns the list at this point, and the result is where the canonical ABI specifies.
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
    let is_refusal = discriminant(is_refusal.into(), 2) != 0;
    if is_refusal {
        // SAFETY: as above.
        log_refusal(state, unsafe {
            memory::string(payload as *const u8, reason_len)
        });
    }
    // SAFETY: `result` is what `configure` returned, and is not read anymore.
    unsafe { configure_post(result) };
    if is_refusal {
        return 0;
    }
    if let Some(former) = state.plugins.put(&state.arena, root, payload) {
        destruct(former);
    }
    1
}

fn configuration(state: &State, size: u32) -> List {
    if size != 0 {
        let status = into_argument(state, |data, len| {
            // SAFETY: both addresses point to cells of the state.
            unsafe { abi::proxy_get_buffer_bytes(BUFFER_PLUGIN_CONFIGURATION, 0, size, data, len) }
        });
        if status == abi::OK && state.size.get() != 0 {
            return List::received(state);
        }
    }
    List {
        start: allocate_argument(0),
        len: 0,
    }
}

/// Logs the reason, because the host only reports that the configuration was refused.
fn log_refusal(state: &State, reason: &[u8]) {
    const PREFIX: &[u8] = b"configuration refused: ";
    let len = PREFIX.len() + reason.len();
    let line = state.scratch(len.max(24));
    // SAFETY: the buffer has room for the prefix in whole words and for the reason after it.
    unsafe {
        line.cast::<u64>().write(const { word(PREFIX, 0) });
        line.cast::<u64>().add(1).write(const { word(PREFIX, 8) });
        line.cast::<u64>().add(2).write(const { word(PREFIX, 16) });
        core::ptr::copy_nonoverlapping(reason.as_ptr(), line.add(PREFIX.len()), reason.len());
        abi::proxy_log(LEVEL_ERROR, line, len);
    }
}
