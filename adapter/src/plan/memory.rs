//! Finds the functions with which the guest allocates memory, and the purpose of each.

use crate::classify::{Classes, Import};
use crate::component::{Component, Def, Item, Modules};
use crate::error::AdaptError;
use crate::ids::LoweringId;
use crate::module::Module;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{BinaryReader, ProducersSectionReader};

/// The name under which a main module exports the allocator for memory that outlives a call. wit-component links it to
/// the adapter modules next to a main module; the bridge is another such adapter.
pub const ADAPTER_REALLOC: &str = "cabi_realloc_adapter";

/// The functions that allocate memory in the guest. Those that allocate arguments of callbacks are in the callbacks'
/// lifts.
#[derive(Debug)]
pub struct Reallocs {
    /// The distinct functions that allocate what the guest will own as a result of a hostcall, at least one.
    ///
    /// wit-component uses one for all imports of a main module, and another for those of each adapter module.
    pub imports: Vec<Def>,
    /// For each lowered import that is bound to the bridge and allocates, its position in `imports`.
    pub by_lowering: BTreeMap<LoweringId, usize>,
    /// Whether results and arguments are allocated by different functions.
    pub is_split: bool,
    /// Allocates what the bridge keeps.
    pub keep: Def,
    /// Whether `keep` is the guest's [`ADAPTER_REALLOC`].
    pub keeps_apart: bool,
}

/// Finds the allocators. `used` contains the lowered imports that are called.
pub fn reallocs(
    component: &Component<'_>,
    modules: &Modules<'_>,
    classes: &Classes,
    used: &BTreeSet<LoweringId>,
) -> Result<Reallocs, AdaptError> {
    let exports = classes.exports.values();
    let exports: Vec<&Def> = exports.filter_map(|lift| lift.realloc.as_ref()).collect();
    let mut imports = Vec::new();
    let mut by_lowering = BTreeMap::new();
    for id in used {
        // A stub calls the allocator of the import that it replaces.
        if let Import::Refused(_) = classes.imports[*id] {
            continue;
        }
        let lowering = &component.lowerings[*id];
        // A result that is returned on the stack is one value and contains no address.
        if let (Some(realloc), true) = (&lowering.realloc, lowering.signature.results.is_empty()) {
            let known = imports.iter().position(|import| import == realloc);
            let position = known.unwrap_or(imports.len());
            if known.is_none() {
                imports.push(realloc.clone());
            }
            by_lowering.insert(*id, position);
        }
    }
    let Some(export) = exports.first().copied().or(imports.first()).cloned() else {
        // `configure` takes a list, so validation has ensured that there is one.
        return Err(AdaptError::Internal {
            message: "no export of the component has an allocator".to_owned(),
        });
    };
    if imports.is_empty() {
        imports.push(export.clone());
    }
    let for_adapters = [&export]
        .into_iter()
        .chain(&imports)
        .find_map(|beside| for_adapters(component, modules, beside));
    if for_adapters.is_none() && modules.values().any(is_go) {
        return Err(AdaptError::NoKeptMemory {
            export: ADAPTER_REALLOC,
        });
    }
    let arguments: BTreeSet<&Def> = exports.into_iter().collect();
    Ok(Reallocs {
        is_split: imports.iter().any(|import| !arguments.contains(import)),
        imports,
        by_lowering,
        keeps_apart: for_adapters.is_some(),
        keep: for_adapters.unwrap_or(export),
    })
}

/// Returns the [`ADAPTER_REALLOC`] of the module that has the allocator `beside`, if both have the same type.
fn for_adapters(component: &Component<'_>, modules: &Modules<'_>, beside: &Def) -> Option<Def> {
    let Def::Item {
        instance,
        item: Item::Func(usual),
    } = beside
    else {
        return None;
    };
    let module = &modules[component.instances[*instance].module];
    let func = module.exported_func(ADAPTER_REALLOC)?;
    let is_alike = module.func_type(func)? == module.func_type(*usual)?;
    is_alike.then_some(Def::Item {
        instance: *instance,
        item: Item::Func(func),
    })
}

/// Whether a module was compiled from Go, whose garbage collector reclaims what `cabi_realloc` returns.
fn is_go(module: &Module<'_>) -> bool {
    let producers = module
        .customs
        .iter()
        .filter(|(name, _)| *name == "producers");
    let fields = producers
        .filter_map(|(_, data)| ProducersSectionReader::new(BinaryReader::new(data, 0)).ok());
    // A malformed section is ignored.
    let values = fields
        .flat_map(|fields| fields.into_iter().map_while(Result::ok))
        .filter(|field| field.name == "language")
        .flat_map(|field| field.values.into_iter().map_while(Result::ok));
    values.into_iter().any(|value| value.name == "Go")
}
