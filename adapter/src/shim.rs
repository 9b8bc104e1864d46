//! Resolves wit-component's shim and fixups, so that hostcalls do not go through an indirect call.
//!
//! A lowered import may need the memory of the module that imports it. wit-component breaks this cycle with two
//! modules: the *shim*, whose functions call through a table, is instantiated first, and the *fixups*, which fill the
//! table, last. The contents of the table are known in advance. A call of a shim's function is therefore linked as a
//! call of the function that the fixups put into its slot, and both modules are removed.
//!
//! Shims and fixups are recognised by their contents and not by a name. A module that does not have exactly this form
//! is linked like any other.

use crate::component::{Component, Def, Item, Modules};
use crate::ids::{FuncIndex, InstanceId, TableIndex, TypeIndex};
use crate::module::Module;
use cranelift_entity::PrimaryMap;
use std::collections::{HashMap, HashSet};
use wasmparser::{ElementItems, ElementKind, FunctionBody, Operator, TypeRef};

/// The shims of a component, and the functions that they call.
#[derive(Debug, Default)]
pub struct Shims {
    /// The instances that are removed: shims and their fixups.
    pub gone: HashSet<InstanceId>,
    /// For each function of a shim, by instance and index, the function that it calls.
    targets: HashMap<(InstanceId, FuncIndex), Def>,
}

// === impl Shims ===

impl Shims {
    /// Finds the shims of a component.
    pub fn find(component: &Component<'_>, modules: &Modules<'_>) -> Shims {
        let mut shims = Shims::default();
        for (id, instance) in component.instances.iter() {
            let Some(slots) = slots(&modules[instance.module]) else {
                continue;
            };
            let Some((fixups, contents)) = contents(component, modules, id) else {
                continue;
            };
            for (func, slot) in slots.iter() {
                if let Some(target) = contents.get(slot) {
                    shims.targets.insert((id, func), target.clone());
                }
            }
            shims.gone.insert(id);
            shims.gone.extend(fixups);
        }
        shims
    }

    /// Follows `def` through functions of shims to the first definition that is not one. `None` if they form a cycle.
    pub fn follow<'d>(&'d self, mut def: &'d Def) -> Option<&'d Def> {
        for _ in 0..=self.targets.len() {
            let target = match def {
                Def::Item {
                    instance,
                    item: Item::Func(func),
                } => self.target(*instance, *func),
                _ => None,
            };
            match target {
                Some(target) => def = target,
                None => return Some(def),
            }
        }
        None
    }

    /// Follows `def` to an instance and a function in it. `None` if it is not a function of an instance.
    pub fn resolve(&self, def: &Def) -> Option<(InstanceId, FuncIndex)> {
        match self.follow(def)? {
            Def::Item {
                instance,
                item: Item::Func(func),
            } => Some((*instance, *func)),
            _ => None,
        }
    }

    /// What `func` of `instance` calls, if `instance` is a shim.
    pub fn target(&self, instance: InstanceId, func: FuncIndex) -> Option<&Def> {
        self.targets.get(&(instance, func))
    }
}

/// Returns the slot that each function of a shim calls. `None` if `module` is not a shim.
fn slots(module: &Module<'_>) -> Option<PrimaryMap<FuncIndex, u32>> {
    let is_bare = module.imports.is_empty()
        && module.tables.len() == 1
        && module.memories.is_empty()
        && module.globals.is_empty()
        && module.elements.is_empty()
        && module.data.is_empty()
        && module.start.is_none();
    if !is_bare || module.bodies.is_empty() {
        return None;
    }
    // It has no imports, so its bodies are those of all its functions.
    let slots = module.bodies.iter().zip(module.funcs.values());
    slots
        .map(|(body, ty)| slot(body, module.types.get(*ty)?.params().len(), *ty))
        .collect()
}

/// Returns the slot that a body calls, if it only passes on its parameters.
fn slot(body: &FunctionBody<'_>, params: usize, own_type: TypeIndex) -> Option<u32> {
    let mut operators = body.get_operators_reader().ok()?;
    for param in 0..params as u32 {
        match operators.read().ok()? {
            Operator::LocalGet { local_index } if local_index == param => {}
            _ => return None,
        }
    }
    let Operator::I32Const { value } = operators.read().ok()? else {
        return None;
    };
    match operators.read().ok()? {
        Operator::CallIndirect {
            type_index,
            table_index: 0,
        } if type_index == own_type.as_u32() => {}
        _ => return None,
    }
    let ends = matches!(operators.read().ok()?, Operator::End) && operators.eof();
    if ends {
        u32::try_from(value).ok()
    } else {
        None
    }
}

/// Returns which instances are the fixups of `shim`, and what they put into its table. `None` if other modules use the
/// table too.
fn contents(
    component: &Component<'_>,
    modules: &Modules<'_>,
    shim: InstanceId,
) -> Option<(Vec<InstanceId>, HashMap<u32, Def>)> {
    let table = Def::Item {
        instance: shim,
        item: Item::Table(TableIndex::from_u32(0)),
    };
    let mut fixups = Vec::new();
    let mut contents = HashMap::new();
    for (id, instance) in component.instances.iter() {
        if !instance.imports.values().any(|def| *def == table) {
            continue;
        }
        let module = &modules[instance.module];
        let is_bare = module.tables.len() == 1
            && module.memories.is_empty()
            && module.globals.is_empty()
            && module.bodies.is_empty()
            && module.data.is_empty();
        // Since wit-component 0.258, fixups may have a start section. They have no bodies, so its function is an
        // imported one.
        if !is_bare {
            return None;
        }
        let imported = component.imports_of(modules, id);
        let funcs: Vec<_> = imported
            .filter(|(import, _)| matches!(import.ty, TypeRef::Func(_)))
            .map(|(_, def)| def)
            .collect();
        for element in &module.elements {
            let ElementKind::Active {
                table_index: None | Some(0),
                offset_expr,
            } = &element.kind
            else {
                return None;
            };
            let ElementItems::Functions(items) = &element.items else {
                return None;
            };
            let mut offset = offset_expr.get_operators_reader();
            let Operator::I32Const { value } = offset.read().ok()? else {
                return None;
            };
            let Operator::End = offset.read().ok()? else {
                return None;
            };
            for (slot, func) in (u32::try_from(value).ok()?..).zip(items.clone()) {
                let def = funcs.get(func.ok()? as usize)?;
                contents.insert(slot, (*def).clone());
            }
        }
        fixups.push(id);
    }
    if fixups.is_empty() {
        None
    } else {
        Some((fixups, contents))
    }
}
