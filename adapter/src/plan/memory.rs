//! Finds the functions with which the guest allocates memory, and the purpose of each.

use crate::classify::Classes;
use crate::component::{Component, Def, Item};
use crate::error::AdaptError;
use crate::module::Module;
use crate::name::Name;
use std::collections::BTreeSet;
use wasmparser::{BinaryReader, ProducersSectionReader};

/// The name under which a main module exports the allocator for memory that outlives a call. wit-component links it to
/// the adapter modules next to a main module; the bridge is another such adapter.
pub const ADAPTER_REALLOC: &str = "cabi_realloc_adapter";

/// The functions that allocate memory in the guest.
#[derive(Debug)]
pub struct Reallocs {
    /// Allocates what the guest will own as a result of a hostcall.
    pub import: Def,
    /// Allocates what the guest will own as an argument of a callback.
    pub export: Def,
    /// Allocates what the bridge keeps.
    pub keep: Def,
    /// Whether `keep` is the guest's [`ADAPTER_REALLOC`].
    pub keeps_apart: bool,
}

/// Finds the allocators. `used` contains the lowered imports that are called.
pub fn reallocs(
    component: &Component<'_>,
    modules: &[Module<'_>],
    classes: &Classes,
    used: &BTreeSet<usize>,
) -> Result<Reallocs, AdaptError> {
    let lifts = classes.exports.iter();
    let exports = lifts.filter_map(|(name, lift)| {
        let name = crate::bridge::Bridge::function_name(name);
        Some((name, lift.realloc.as_ref()?))
    });
    let lowerings = used.iter().filter_map(|index| {
        let lowering = component.lowerings.get(*index)?;
        Some((lowering.name.clone(), lowering.realloc.as_ref()?))
    });
    let export = only("exports", exports)?;
    let import = only("imports", lowerings)?;
    let Some(export) = export.or(import) else {
        // `configure` takes a list, so validation has ensured that there is one.
        return Err(AdaptError::Internal {
            message: "no export of the component has an allocator".to_owned(),
        });
    };
    let import = import.unwrap_or(export);
    let for_adapters = [export, import]
        .into_iter()
        .find_map(|beside| for_adapters(component, modules, beside));
    if for_adapters.is_none() && modules.iter().any(is_go) {
        return Err(AdaptError::NoKeptMemory {
            export: ADAPTER_REALLOC,
        });
    }
    Ok(Reallocs {
        import: import.clone(),
        export: export.clone(),
        keeps_apart: for_adapters.is_some(),
        keep: for_adapters.unwrap_or_else(|| export.clone()),
    })
}

/// Returns the allocator that all `functions` share. wit-component uses one for all imports of a module, and one for
/// all exports.
fn only<'d>(
    direction: &'static str,
    functions: impl Iterator<Item = (Name, &'d Def)>,
) -> Result<Option<&'d Def>, AdaptError> {
    let mut found = None;
    for (name, realloc) in functions {
        match found {
            None => found = Some(realloc),
            Some(found) if found == realloc => {}
            Some(_) => {
                return Err(AdaptError::unsupported(
                    direction,
                    &name,
                    "allocates by another `realloc` than others do",
                    "build it with one `cabi_realloc` for all",
                ));
            }
        }
    }
    Ok(found)
}

/// Returns the [`ADAPTER_REALLOC`] of the module that has the allocator `beside`, if both have the same type.
fn for_adapters(component: &Component<'_>, modules: &[Module<'_>], beside: &Def) -> Option<Def> {
    let Def::Item {
        instance,
        item: Item::Func(usual),
    } = beside
    else {
        return None;
    };
    let module = modules.get(component.instances.get(*instance)?.module)?;
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
