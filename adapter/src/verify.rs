//! The pass that checks the output the way a proxy's engine will.
//!
//! It does not rely on the earlier passes: it takes bytes, and checks each rule of Envoy's hosts that a module can
//! break. `check` compares modules from other tools with what Envoy does, which is less strict.

use crate::bridge::PREVIEW1;
use crate::ids::TypeIndex;
use crate::module::{Import, Module};
use crate::proxy_wasm::{self, ALWAYS_EXPORTED, Function, HOST, MEMORY, WASI};
use crate::release::Envoy;
use crate::types::Signature;
use wasmparser::{ExternalKind, TypeRef, Validator, WasmFeatures};

/// The features that the engine of the oldest supported Envoy has.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM2;

/// The maximum size of a memory in pages: one gibibyte, as Envoy configures its engines.
pub(crate) const MAX_PAGES: u64 = 16_384;

/// What is wrong with a module that a proxy should load.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// Not a valid module, or one with features that not every engine has.
    #[error(
        "the module is invalid, or uses a WebAssembly feature that not every supported Envoy has: {message} (at byte {offset:#x})"
    )]
    Invalid {
        /// The validator's message.
        message: String,
        /// The byte offset in the module.
        offset: usize,
    },
    /// Not exactly one memory.
    #[error("it has {count} memories instead of one")]
    Memories {
        /// How many.
        count: usize,
    },
    /// An initial memory that is larger than the maximum which a proxy permits.
    #[error("its memory starts with {pages} pages, which exceeds the maximum of {MAX_PAGES}")]
    MemorySize {
        /// The initial size in pages.
        pages: u64,
    },
    /// The memory is imported, or not exported under the name that hosts expect.
    #[error("its memory is not exported as `memory`")]
    MemoryExport,
    /// A start section, which would run before the host has set up the module.
    #[error("it has a start section, which would run before the proxy is ready")]
    Start,
    /// An import that not every host provides.
    #[error("it imports `{module}` `{name}`, which not every proxy provides")]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import that only later releases of Envoy provide.
    #[error(
        "it imports `{module}` `{name}`, which Envoy {release} does not provide; {since} and newer do"
    )]
    NewerImport {
        /// A release that does not provide it.
        release: Envoy,
        /// The oldest release that does.
        since: Envoy,
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import of the wrong type.
    #[error("it imports `{module}` `{name}` as {found}, but proxies provide {expected}")]
    ImportType {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// Its type in the module.
        found: String,
        /// Its type in hosts.
        expected: String,
    },
    /// An export of the wrong type.
    #[error("it exports `{name}` as {found}, but proxies call {expected}")]
    ExportType {
        /// The export's name.
        name: String,
        /// Its type in the module.
        found: String,
        /// Its type in hosts.
        expected: String,
    },
    /// An export that hosts need is missing.
    #[error("it does not export `{name}`")]
    Missing {
        /// The export's name.
        name: &'static str,
    },
    /// The file is not WebAssembly.
    #[error("it is not a WebAssembly binary: expected a component or a Proxy-Wasm module")]
    NotWasm,
    /// A component instead of a core module.
    #[error("it is a component, and proxies load core modules: convert it with `tidegate adapt`")]
    Component,
    /// No marker of an ABI version that hosts know.
    #[error(
        "it declares no supported Proxy-Wasm ABI version: it must export `proxy_abi_version_0_1_0`, `proxy_abi_version_0_2_0` or `proxy_abi_version_0_2_1`; build it with a Proxy-Wasm SDK, or build a component"
    )]
    NoAbi,
    /// No allocator that hosts could call.
    #[error(
        "it exports neither `malloc` nor `proxy_on_memory_allocate`, which proxies need to pass data"
    )]
    NoAllocator,
    /// Two allocators. Hosts would call the one that is not the bridge's.
    #[error(
        "it exports both `malloc` and `proxy_on_memory_allocate`: proxies would call the wrong one"
    )]
    Allocators,
}

/// Checks a module.
pub fn verify(bytes: &[u8]) -> Result<(), VerifyError> {
    // Compact import sections are a separate feature, which `FEATURES` does not contain.
    let invalid = |error: wasmparser::Error| VerifyError::Invalid {
        message: error.message().to_owned(),
        offset: error.offset(),
    };
    Validator::new_with_features(FEATURES)
        .validate_all(bytes)
        .map_err(invalid)?;
    let module = Module::read(bytes).map_err(invalid)?;
    memory(&module)?;
    if module.start.is_some() {
        return Err(VerifyError::Start);
    }
    imports(&module)?;
    exports(&module)
}

fn memory(module: &Module<'_>) -> Result<(), VerifyError> {
    if module.memories.len() != 1 {
        return Err(VerifyError::Memories {
            count: module.memories.len(),
        });
    }
    if let Some(memory) = module.memories.values().next()
        && memory.initial > MAX_PAGES
    {
        return Err(VerifyError::MemorySize {
            pages: memory.initial,
        });
    }
    let is_export = |kind: ExternalKind| kind == ExternalKind::Memory;
    let mut exported = module
        .exports
        .iter()
        .filter(|export| is_export(export.kind));
    let is_only =
        exported.next().is_some_and(|export| export.name == MEMORY) && exported.next().is_none();
    if is_only && module.imported.memories == 0 {
        Ok(())
    } else {
        Err(VerifyError::MemoryExport)
    }
}

fn imports(module: &Module<'_>) -> Result<(), VerifyError> {
    for import in module.imports.values() {
        let list = match import.module {
            "env" => HOST,
            PREVIEW1 => WASI,
            _ => &[],
        };
        let known = proxy_wasm::named(list, import.name);
        import_error(module, import, known).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// What is wrong with an import, given what hosts provide under its name.
pub(crate) fn import_error(
    module: &Module<'_>,
    import: &Import<'_>,
    known: Option<&Function>,
) -> Option<VerifyError> {
    let (TypeRef::Func(ty), Some(known)) = (import.ty, known) else {
        return Some(VerifyError::Import {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
        });
    };
    let (found, expected) = (
        module
            .types
            .get(TypeIndex::from_u32(ty))
            .map(Signature::from),
        known.signature(),
    );
    (found.as_ref() != Some(&expected)).then(|| VerifyError::ImportType {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        found: found.map(|found| found.to_string()).unwrap_or_default(),
        expected: expected.to_string(),
    })
}

fn exports(module: &Module<'_>) -> Result<(), VerifyError> {
    let exported = |name: &str| module.exported_func(name);
    if let Some(name) = ALWAYS_EXPORTED.iter().find(|name| exported(name).is_none()) {
        return Err(VerifyError::Missing { name });
    }
    if exported("malloc").is_some() {
        return Err(VerifyError::Allocators);
    }
    let mut callbacks = proxy_wasm::CALLBACKS.iter();
    callbacks
        .find_map(|callback| export_error(module, callback))
        .map_or(Ok(()), Err)
}

/// What is wrong with an export that hosts look for, if the module has it.
pub(crate) fn export_error(module: &Module<'_>, callback: &Function) -> Option<VerifyError> {
    let found = Signature::from(module.func_type(module.exported_func(callback.name)?)?);
    let expected = callback.signature();
    (found != expected).then(|| VerifyError::ExportType {
        name: callback.name.to_owned(),
        found: found.to_string(),
        expected: expected.to_string(),
    })
}
