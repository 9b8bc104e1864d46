//! Finds what keeps Envoy from loading a module that another tool made, before the module is deployed.
//!
//! `verify` checks Tidegate's own modules against what every host accepts. This file checks modules from other tools
//! against what Envoy does with them, in every supported release. It looks for features that the engine does not
//! accept, imports that Envoy does not provide or provides with another type, and exports of another type than Envoy
//! expects. It reports every problem, not only the first.

use crate::bridge::PREVIEW1;
use crate::module::Module;
use crate::proxy_wasm::{self, Abi};
use crate::release::Envoy;
use crate::verify::{MAX_PAGES, VerifyError, export_error, import_error};
use std::collections::BTreeSet;
use wasmparser::{ExternalKind, Parser, TypeRef, Validator, WasmFeatures};

/// The most that the engine of the oldest supported Envoy accepts. It does not read compact import sections.
const FEATURES: WasmFeatures = WasmFeatures::WASM3.union(WasmFeatures::LEGACY_EXCEPTIONS);

/// Returns what keeps one or more of the supported releases of Envoy from loading a module. The list is empty if all load it.
pub fn check(bytes: &[u8]) -> Vec<VerifyError> {
    let [oldest, .., newest] = Envoy::ALL;
    errors(bytes, oldest, newest)
}

/// Returns what keeps a release of Envoy from loading a module. The list is empty if it loads the module.
pub fn check_for(bytes: &[u8], release: Envoy) -> Vec<VerifyError> {
    errors(bytes, release, release)
}

/// Returns what keeps the releases in this range from loading a module. Each release provides everything that older
/// ones provide, and looks for all exports that older ones look for.
fn errors(bytes: &[u8], oldest: Envoy, newest: Envoy) -> Vec<VerifyError> {
    if !bytes.starts_with(b"\0asm") {
        return vec![VerifyError::NotWasm];
    }
    if Parser::is_component(bytes) {
        return vec![VerifyError::Component];
    }
    let invalid = |error: wasmparser::Error| {
        vec![VerifyError::Invalid {
            message: error.message().to_owned(),
            offset: error.offset(),
        }]
    };
    if let Err(error) = Validator::new_with_features(FEATURES).validate_all(bytes) {
        return invalid(error);
    }
    let module = match Module::read(bytes) {
        Ok(module) => module,
        Err(error) => return invalid(error),
    };
    let abi = proxy_wasm::abi(&module);
    let mut errors = Vec::new();
    errors.extend(abi.is_none().then_some(VerifyError::NoAbi));
    let allocators = ["malloc", "proxy_on_memory_allocate"].map(|name| module.exported_func(name));
    errors.extend((allocators == [None; 2]).then_some(VerifyError::NoAllocator));
    errors.extend(memory(&module));
    // A module without a version marker most likely uses the newest version. It is checked as such, to report its other
    // problems as well.
    let abi = abi.unwrap_or(Abi::V0_2_1);
    errors.extend(module.imports.values().filter_map(|import| {
        let known = match import.module {
            "env" => abi.host(import.name),
            PREVIEW1 | "wasi_unstable" => proxy_wasm::wasi(import.name),
            _ => None,
        };
        let newer = match import.module {
            PREVIEW1 | "wasi_unstable" if known.is_none() => proxy_wasm::newer_wasi(import.name),
            _ => None,
        };
        match (import.ty, newer) {
            (TypeRef::Func(_), Some((function, since))) => {
                let wrong_type = import_error(&module, import, Some(function));
                wrong_type.or_else(|| {
                    (oldest < since).then(|| VerifyError::NewerImport {
                        release: oldest,
                        since,
                        module: import.module.to_owned(),
                        name: import.name.to_owned(),
                    })
                })
            }
            // Envoy creates imported memories and tables itself, whatever their names.
            (TypeRef::Memory(_) | TypeRef::Table(_), _) => None,
            _ => import_error(&module, import, known),
        }
    }));
    let has_initialize = module.exported_func("_initialize").is_some();
    let callbacks = abi.callbacks(has_initialize, newest);
    errors.extend(callbacks.filter_map(|callback| export_error(&module, callback)));
    errors
}

/// Checks the memory. Envoy uses the one memory that a module exports, under any name, or creates the one that it
/// imports. It also loads a module without a memory, but then it has nowhere to store the data that it passes.
fn memory(module: &Module<'_>) -> Option<VerifyError> {
    let imported = 0..module.imported.memories;
    let exports = module.exports.iter();
    let exported = exports.filter(|export| export.kind == ExternalKind::Memory);
    let exported = exported.map(|export| export.index as usize);
    let reached: BTreeSet<usize> = imported.chain(exported).collect();
    let too_large = module
        .memories
        .values()
        .find(|memory| memory.initial > MAX_PAGES);
    match (reached.len(), too_large) {
        (0, _) => Some(VerifyError::MemoryExport),
        (1, None) => None,
        (1, Some(memory)) => Some(VerifyError::MemorySize {
            pages: memory.initial,
        }),
        (count, _) => Some(VerifyError::Memories { count }),
    }
}
