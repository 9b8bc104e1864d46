//! Validates a file before it is taken apart: that it is a component, complete and valid, and that it contains nothing
//! which no proxy could run.

use crate::error::AdaptError;
use crate::proxy_wasm;
use wasmparser::{BinaryReader, Parser, Payload, Validator, WasmFeatures};

/// The features that a plugin's core modules may use: those that the oldest supported Envoy's engine has, and those
/// that the linker folds away.
pub const CORE: WasmFeatures = WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST);

/// The features of the component model that are accepted here. What cannot be adapted is rejected later by name, and
/// only where it is used.
pub const COMPONENTS: WasmFeatures = WasmFeatures::COMPONENT_MODEL
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_ERROR_CONTEXT)
    .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
    .union(WasmFeatures::CM_MAP)
    .union(WasmFeatures::CM_IMPLEMENTS);

/// The magic number, with which every WebAssembly file begins.
const MAGIC: &[u8] = b"\0asm";
/// The length of the magic number and the version together.
const HEADER: usize = 8;

/// Checks that `bytes` are a valid component that contains nothing which cannot run in a proxy.
pub fn validate(bytes: &[u8]) -> Result<(), AdaptError> {
    let is_begun = MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC);
    if !is_begun {
        return Err(AdaptError::NotWasm);
    }
    if bytes.len() < HEADER {
        return Err(AdaptError::Truncated { len: bytes.len() });
    }
    if Parser::is_core_wasm(bytes) {
        let is_adapted = proxy_wasm::is_plugin(bytes);
        return Err(if is_adapted {
            AdaptError::AlreadyProxyWasm
        } else {
            AdaptError::CoreModule
        });
    }
    // Checked before validation, because the validator reports many different errors for a file that ends within a
    // section.
    if ends_early(bytes) {
        return Err(AdaptError::Truncated { len: bytes.len() });
    }
    let validated = Validator::new_with_features(CORE | COMPONENTS).validate_all(bytes);
    validated.map(drop).map_err(|error| {
        let (message, offset) = (error.message().to_owned(), error.offset());
        match error.missing_wasm_feature() {
            Some(_) => AdaptError::Feature { message, offset },
            None => AdaptError::Invalid { message, offset },
        }
    })
}

/// Whether there are asynchronous lifts, lowers or built-ins. They are rejected later, by the name of the function.
pub fn is_async(bytes: &[u8]) -> bool {
    use wasmparser::{CanonicalFunction as Canonical, CanonicalOption as Opt};
    let canonical = Parser::new(0)
        .parse_all(bytes)
        .map_while(Result::ok)
        .filter_map(|payload| match payload {
            Payload::ComponentCanonicalSection(section) => Some(section),
            _ => None,
        });
    canonical
        .flatten()
        .map_while(Result::ok)
        .any(|function| match function {
            Canonical::Lift { options, .. } | Canonical::Lower { options, .. } => options
                .iter()
                .any(|option| matches!(option, Opt::Async | Opt::Callback(_))),
            Canonical::ResourceNew { .. }
            | Canonical::ResourceDrop { .. }
            | Canonical::ResourceRep { .. } => false,
            _ => true,
        })
}

/// Whether the sizes of the outermost sections exceed the length of the file.
fn ends_early(bytes: &[u8]) -> bool {
    let mut left = bytes.get(HEADER..).unwrap_or_default();
    while let Some((_, rest)) = left.split_first() {
        let mut reader = BinaryReader::new(rest, 0);
        let Ok(size) = reader.read_var_u32() else {
            return true;
        };
        let end = reader.current_position().checked_add(size as usize);
        match end.and_then(|end| rest.get(end..)) {
            Some(next) => left = next,
            None => return true,
        }
    }
    false
}
