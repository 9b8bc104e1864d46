//! Finds the imports of WASI preview 1 that the bridge serves, which bypasses the component's own preview 1 adapter.
//!
//! The function is determined by what an import is bound to, and not by the import's name: Go imports `fd_write` twice,
//! and wit-component then renames one of the two to `fd_write [v2]`.

use crate::bridge::{Bridge, PREVIEW1};
use crate::classify::{Classes, Import};
use crate::component::{Component, Def, Item, Modules};
use crate::ids::{FuncIndex, ImportIndex, InstanceId, TypeIndex};
use crate::shim::Shims;
use crate::types::Signature;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{ExternalKind, TypeRef};

/// Returns the imports that the bridge serves: names of functions, by the importing instance and the import.
pub fn served(
    component: &Component<'_>,
    modules: &Modules<'_>,
    classes: &Classes,
    shims: &Shims,
    bridge: &Bridge<'_>,
) -> BTreeMap<(InstanceId, ImportIndex), String> {
    let mut served = BTreeMap::new();
    for (id, instance) in component.instances.iter() {
        let module = &modules[instance.module];
        for (index, def) in instance.imports.iter() {
            let import = &module.imports[index];
            let TypeRef::Func(ty) = import.ty else {
                continue;
            };
            if import.module != PREVIEW1 {
                continue;
            }
            let Some((adapter, function)) = function(component, modules, shims, import.name, def)
            else {
                continue;
            };
            let wanted = module
                .types
                .get(TypeIndex::from_u32(ty))
                .map(Signature::from);
            let provided = bridge.exports.get(&Bridge::export_name(PREVIEW1, function));
            if wanted.is_some()
                && wanted.as_ref() == provided
                && calls_wasi(component, classes, shims, id, adapter)
            {
                served.insert((id, index), function.to_owned());
            }
        }
    }
    served
}

/// Returns the instance that an import called `name` comes from, and the name under which that instance exports the
/// function.
fn function<'m>(
    component: &Component<'_>,
    modules: &'m Modules<'_>,
    shims: &Shims,
    name: &str,
    def: &Def,
) -> Option<(InstanceId, &'m str)> {
    let (instance, func) = shims.resolve(def)?;
    let module = &modules[component.instances[instance].module];
    let exports = module.exports.iter();
    let exports =
        exports.filter(|it| it.kind == ExternalKind::Func && FuncIndex::from_u32(it.index) == func);
    // Compilers merge identical functions, so one function may have several names.
    let names: Vec<&str> = exports.map(|export| export.name).collect();
    let found = match names.as_slice() {
        [only] => only,
        names => names.iter().find(|it| {
            let suffix = name.strip_prefix(**it);
            suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with(' '))
        })?,
    };
    Some((instance, found))
}

/// Whether an instance calls WASI 0.2, directly or through instances other than `asks`, the importing one.
///
/// Only then is it a preview 1 adapter. Another module that provides functions under this name may give them a
/// different meaning.
fn calls_wasi(
    component: &Component<'_>,
    classes: &Classes,
    shims: &Shims,
    asks: InstanceId,
    instance: InstanceId,
) -> bool {
    let mut seen = BTreeSet::from([asks, instance]);
    let mut left = vec![instance];
    while let Some(instance) = left.pop() {
        for def in component.instances[instance].imports.values() {
            match shims.follow(def) {
                Some(Def::Lowered(id)) => match classes.imports[*id] {
                    Import::Wasi(_) | Import::Refused(_) => return true,
                    Import::Hostcall(_) => {}
                },
                Some(Def::Item {
                    instance,
                    item: Item::Func(_),
                }) if seen.insert(*instance) => left.push(*instance),
                _ => {}
            }
        }
    }
    false
}
