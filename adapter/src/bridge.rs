//! The bridge that this adapter was built with: its bytes, and what can be read from them.
//!
//! No hostcall or callback is listed by hand. Which functions the bridge provides, their types, and which functions of
//! the guest each callback needs are all read from the artefact. The contract between the bridge and the linker is in
//! `bridge/README.md`.

use crate::ids::FuncIndex;
use crate::module::Module;
use crate::types::Signature;
use cranelift_entity::PrimaryMap;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{ExternalKind, Operator};

/// The artefact of `adapter/bridge`, which is checked in.
pub const BYTES: &[u8] = include_bytes!("tidegate_bridge.wasm");

/// The export that allocates the bridge's state and stack if they are needed before `_initialize` has allocated them.
pub const ALLOCATE: &str = "state#allocate";
/// The module of the WASI functions that every supported Envoy has. It is also the prefix of the bridge's exports for
/// WASI preview 1.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";

/// A bridge, parsed.
pub struct Bridge<'a> {
    /// Its sections.
    pub module: Module<'a>,
    /// Its exported functions and their types.
    pub exports: BTreeMap<String, Signature>,
    /// The `proxy_on_*` that it exports.
    pub callbacks: BTreeMap<String, Callback>,
    /// For each of its functions, whether it needs the bridge's state or stack, directly or through functions that it
    /// calls.
    pub is_stateful: PrimaryMap<FuncIndex, bool>,
}

/// A callback of the proxy: a function that it calls to report an event.
#[derive(Debug, Default)]
pub struct Callback {
    /// The component's callbacks that it delivers. The module exports it if the component has one of them.
    pub delivers: BTreeSet<String>,
    /// All functions of the guest that it may call, by the bridge's names.
    pub calls: BTreeSet<String>,
}

/// An import of the bridge, as specified in `bridge/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeImport<'a> {
    /// A function that every plugin exports.
    Guest(&'a str),
    /// The destructor of a resource that the plugin exports. The resource may have none.
    Destructor(&'a str),
    /// The post-return of a function that the plugin exports. The function may have none.
    PostReturn(&'a str),
    /// A callback of the plugin. The plugin may lack it.
    Callback {
        /// The export of the bridge that delivers it.
        export: &'a str,
        /// The name of the plugin's callback.
        name: &'a str,
    },
    /// Whether the plugin has a callback: 1 or 0.
    Exported(&'a str),
    /// Allocates what the guest will own as a result.
    ImportRealloc,
    /// Allocates what the guest will own as an argument of a function that the plugin exports. The plugin may lack the
    /// function, and then the bridge never calls this.
    ArgumentRealloc(&'a str),
    /// Allocates what the bridge keeps.
    Keep,
    /// Runs the component's start code.
    Start,
    /// Reads the address of the bridge's state.
    StateGet,
    /// Writes the address of the bridge's state.
    StateSet,
    /// Writes the bridge's stack pointer.
    StackSet,
    /// A function of the proxy.
    Proxy,
}

// === impl BridgeImport ===

impl<'a> BridgeImport<'a> {
    /// Identifies an import of the bridge.
    pub fn of(module: &'a str, name: &'a str) -> BridgeImport<'a> {
        match (module, name) {
            ("guest", name) => BridgeImport::Guest(name),
            ("guest-dtor", name) => BridgeImport::Destructor(name),
            ("guest-realloc", name) => BridgeImport::ArgumentRealloc(name),
            ("guest-post", name) => BridgeImport::PostReturn(name),
            ("guest-exports", name) => BridgeImport::Exported(name),
            ("cabi", "import-realloc") => BridgeImport::ImportRealloc,
            ("cabi", "keep") => BridgeImport::Keep,
            ("cabi", "start") => BridgeImport::Start,
            ("state", "get") => BridgeImport::StateGet,
            ("state", "set") => BridgeImport::StateSet,
            ("state", "set-stack") => BridgeImport::StackSet,
            (export, name) if is_callback(export) => BridgeImport::Callback { export, name },
            _ => BridgeImport::Proxy,
        }
    }
}

// === impl Bridge ===

impl<'a> Bridge<'a> {
    /// Reads a bridge's bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Bridge<'a>, wasmparser::Error> {
        let module = Module::read(bytes)?;
        let code = Code::read(&module)?;
        let mut exports = BTreeMap::new();
        let mut callbacks = BTreeMap::new();
        for export in &module.exports {
            if export.kind != ExternalKind::Func {
                continue;
            }
            let func = FuncIndex::from_u32(export.index);
            if let Some(ty) = module.func_type(func) {
                exports.insert(export.name.to_owned(), Signature::from(ty));
            }
            if is_callback(export.name) {
                callbacks.insert(export.name.to_owned(), code.callback(func, export.name));
            }
        }
        let is_stateful = module.funcs.keys().map(|func| code.is_stateful(func));
        let is_stateful = is_stateful.collect();
        Ok(Bridge {
            exports,
            callbacks,
            is_stateful,
            module,
        })
    }

    /// Returns the name of the bridge's export that implements a function of an interface.
    pub fn export_name(interface: &str, function: &str) -> String {
        format!("{interface}#{function}")
    }
}

/// Whether an export with this name is a callback of the proxy.
fn is_callback(name: &str) -> bool {
    name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate"
}

/// The bridge's call graph.
struct Code<'m> {
    /// What each imported function is. Imported functions come first.
    imports: PrimaryMap<FuncIndex, BridgeImport<'m>>,
    /// For each function, those that it calls.
    calls: PrimaryMap<FuncIndex, Vec<FuncIndex>>,
    /// For each function, whether it uses a global. The only global that the bridge uses is its stack pointer.
    uses_stack: PrimaryMap<FuncIndex, bool>,
}

// === impl Code ===

impl<'m> Code<'m> {
    fn read(module: &'m Module<'_>) -> Result<Code<'m>, wasmparser::Error> {
        let imports = module.imported_funcs();
        let imports = imports.map(|(_, import)| BridgeImport::of(import.module, import.name));
        let imports: PrimaryMap<_, _> = imports.collect();
        let mut calls: PrimaryMap<_, _> = imports.keys().map(|_| Vec::new()).collect();
        let mut uses_stack: PrimaryMap<_, _> = imports.keys().map(|_| false).collect();
        for body in &module.bodies {
            let (mut called, mut uses) = (Vec::new(), false);
            for operator in body.get_operators_reader()? {
                match operator? {
                    Operator::Call { function_index } => {
                        called.push(FuncIndex::from_u32(function_index));
                    }
                    Operator::GlobalGet { .. } | Operator::GlobalSet { .. } => uses = true,
                    _ => {}
                }
            }
            calls.push(called);
            uses_stack.push(uses);
        }
        Ok(Code {
            imports,
            calls,
            uses_stack,
        })
    }

    /// The functions that `root` reaches, including itself.
    fn reach(&self, root: FuncIndex) -> BTreeSet<FuncIndex> {
        let mut seen = BTreeSet::from([root]);
        let mut left = vec![root];
        while let Some(func) = left.pop() {
            let called = self.calls[func].iter();
            left.extend(called.filter(|called| seen.insert(**called)));
        }
        seen
    }

    fn imports_of(&self, root: FuncIndex) -> impl Iterator<Item = BridgeImport<'m>> {
        let reached = self.reach(root).into_iter();
        reached.filter_map(|func| self.imports.get(func).copied())
    }

    /// What the callback `name` delivers and calls. `func` implements it.
    fn callback(&self, func: FuncIndex, name: &str) -> Callback {
        let mut callback = Callback::default();
        for import in self.imports_of(func) {
            match import {
                BridgeImport::Callback { export, name: it } => {
                    callback.calls.insert(it.to_owned());
                    if export == name {
                        callback.delivers.insert(it.to_owned());
                    }
                }
                BridgeImport::Guest(it) => {
                    callback.calls.insert(it.to_owned());
                }
                _ => {}
            }
        }
        callback
    }

    fn is_stateful(&self, root: FuncIndex) -> bool {
        self.reach(root).iter().any(|func| self.uses_stack[*func])
            || self
                .imports_of(root)
                .any(|import| import == BridgeImport::StateGet)
    }
}
