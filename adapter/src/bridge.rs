//! The bridge as this adapter was built with it: its bytes, and what they say about themselves.
//!
//! Nothing about a hostcall or callback is listed by hand: which functions the bridge provides, of which types, and which
//! functions of the guest each callback needs, is read from the artefact. Its contract is in `bridge/README.md`.

use crate::component::Name;
use crate::module::Module;
use crate::types::Signature;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{ExternalKind, Operator, TypeRef};

/// The artefact that is checked in beside this crate.
pub const BYTES: &[u8] = include_bytes!("../bridge/tidegate_bridge.wasm");

/// Import module of the functions that the guest exports.
pub const GUEST: &str = "guest";
/// Import module of their post-returns.
pub const GUEST_POST: &str = "guest-post";
/// Import module of the canonical ABI's helpers.
pub const CABI: &str = "cabi";
/// Import module of the bridge's state, kept in globals.
pub const STATE: &str = "state";
/// Module of the WASI functions that every supported Envoy has, as an import and as a prefix of the bridge's exports.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The exports that every adapted module has, whatever the plugin exports.
pub const ALWAYS: &[&str] = &[
    "proxy_abi_version_0_2_1",
    "_initialize",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_delete",
];

/// A bridge, read.
pub struct Bridge<'a> {
    /// Its sections.
    pub module: Module<'a>,
    /// Its exported functions and their types.
    pub exports: BTreeMap<String, Signature>,
    /// For each `proxy_on_*` that it exports, the guest's functions that it reaches.
    pub callbacks: BTreeMap<String, BTreeSet<String>>,
}

// === impl Bridge ===

impl<'a> Bridge<'a> {
    /// Reads a bridge's bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Bridge<'a>, wasmparser::Error> {
        let module = Module::read(bytes)?;
        let calls = calls(&module)?;
        let mut exports = BTreeMap::new();
        let mut callbacks = BTreeMap::new();
        for export in &module.exports {
            if export.kind != ExternalKind::Func {
                continue;
            }
            if let Some(ty) = module.func_type(export.index) {
                exports.insert(export.name.to_owned(), Signature::from(ty));
            }
            if is_callback(export.name) {
                callbacks.insert(
                    export.name.to_owned(),
                    guest_functions(&module, &calls, export.index),
                );
            }
        }
        Ok(Bridge {
            module,
            exports,
            callbacks,
        })
    }

    /// The function of an interface that an export stands for.
    pub fn function_name(export: &str) -> Name {
        let (interface, function) = export.split_once('#').unwrap_or(("", export));
        Name {
            interface: interface.to_owned(),
            item: function.to_owned(),
        }
    }

    /// The export that stands for a function of an interface.
    pub fn export_name(interface: &str, function: &str) -> String {
        format!("{interface}#{function}")
    }
}

/// Whether a proxy calls an export of this name with something that has happened.
fn is_callback(name: &str) -> bool {
    name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate"
}

/// For each function, those that it calls.
fn calls(module: &Module<'_>) -> Result<Vec<Vec<u32>>, wasmparser::Error> {
    let mut calls = vec![Vec::new(); module.imported.funcs];
    for body in &module.bodies {
        let mut called = Vec::new();
        for operator in body.get_operators_reader()? {
            if let Operator::Call { function_index } = operator? {
                called.push(function_index);
            }
        }
        calls.push(called);
    }
    Ok(calls)
}

/// The imports from [`GUEST`] that are reached from function `root`.
fn guest_functions(module: &Module<'_>, calls: &[Vec<u32>], root: u32) -> BTreeSet<String> {
    let imports: Vec<_> = module
        .imports
        .iter()
        .filter(|import| matches!(import.ty, TypeRef::Func(_)))
        .collect();
    let mut seen = BTreeSet::from([root]);
    let mut left = vec![root];
    let mut found = BTreeSet::new();
    while let Some(index) = left.pop() {
        if let Some(import) = imports
            .get(index as usize)
            .filter(|import| import.module == GUEST)
        {
            found.insert(import.name.to_owned());
        }
        let called = calls
            .get(index as usize)
            .map(Vec::as_slice)
            .unwrap_or_default();
        left.extend(called.iter().filter(|called| seen.insert(**called)));
    }
    found
}
