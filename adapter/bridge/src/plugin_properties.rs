//! `plugin-properties`: what the host knows about the plugin and about itself.
//!
//! The host has one hostcall for these and for the properties of a stream, which `properties` contains.

use crate::abi;
use crate::memory::{List, RetPtr, bytes};
use crate::properties;
use crate::running::Phase;
use crate::state::{State, state};
use crate::syntax::number;
use crate::types::{self, Error};

#[unsafe(export_name = "plugin-properties#get")]
extern "C" fn get(path: *const List, path_len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<option<list<u8>>, error>`, and the path is valid for the duration
    // of the call.
    let (ret, path) = unsafe { (RetPtr::new(ret), properties::lift(path, path_len)) };
    let state = state();
    properties::store(ret, state, find(state, path));
}

/// Asks the host for the value. Returns whether there is one.
fn find(state: &State, path: &[List]) -> Result<bool, Error> {
    let written = properties::write(state, path)?;
    if !is_known(path) {
        return Ok(false);
    }
    let root = root(state);
    if let Some(root) = root {
        types::outcome(abi::proxy_set_effective_context(root))?;
    }
    let status = properties::ask(state, written);
    if root.is_some() {
        abi::proxy_set_effective_context(state.running.get().context);
    }
    properties::is_value(status)
}

/// The root context of the plugin, if a callback of a stream is running and another context is therefore selected.
///
/// During the destructor of a filter the context of its stream stays selected, because the stream is no longer in the
/// table.
fn root(state: &State) -> Option<u32> {
    let running = state.running.get();
    match running.phase {
        Phase::Lifecycle | Phase::Event => None,
        // The host may have ended the stream, but it stays in the table while its callback runs.
        _ => Some(state.streams.running(running.context).root()),
    }
}

/// Whether this is the path of such a property: `plugin_name`, `plugin_root_id`, `plugin_vm_id`, or one that begins with `xds`, `node`.
///
/// The host is not asked about others: it reads them through the stream, and does not always check that there is one.
/// Names are compared as numbers, because a literal that is compared byte by byte is a data segment.
fn is_known(path: &[List]) -> bool {
    const PLUGIN_NAME: u128 = number(b"plugin_name");
    const PLUGIN_ROOT_ID: u128 = number(b"plugin_root_id");
    const PLUGIN_VM_ID: u128 = number(b"plugin_vm_id");
    const XDS: u128 = number(b"xds");
    const NODE: u128 = number(b"node");
    let segment = |segment: &List| {
        // SAFETY: the segment was borrowed from the guest together with the path.
        let name = unsafe { bytes(segment.start, segment.len) };
        if name.len() <= 16 { number(name) } else { 0 }
    };
    match path {
        [name] => matches!(segment(name), PLUGIN_NAME | PLUGIN_ROOT_ID | PLUGIN_VM_ID),
        [group, node, ..] => segment(group) == XDS && segment(node) == NODE,
        [] => false,
    }
}
