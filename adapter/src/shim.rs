//! Resolves wit-component's shim and fixups, so that no indirect call is left in every hostcall.
//!
//! A lowered import may need the memory of the very module that imports it. wit-component breaks that circle with two
//! modules: the *shim*, whose functions call through a table, is instantiated first, and the *fixups*, which fill the
//! table, last. What the table holds can be read off, so a call of a shim's function is a call of what the fixups put
//! into its slot, and both modules vanish.
//!
//! They are known by what they are, not by a name. What is not exactly of this shape is linked as any module is.

use crate::component::{Component, Def, Item};
use crate::module::Module;
use std::collections::{HashMap, HashSet};
use wasmparser::{ElementItems, ElementKind, FunctionBody, Operator, TypeRef};

/// What the shims of a component stand for.
#[derive(Debug, Default)]
pub struct Shims {
    /// Instances of which nothing remains: shims and their fixups.
    pub gone: HashSet<usize>,
    /// For a shim's instance and function, what it calls.
    targets: HashMap<(usize, u32), Def>,
}

// === impl Shims ===

impl Shims {
    /// Finds the shims of a component.
    pub fn find(component: &Component<'_>, modules: &[Module<'_>]) -> Shims {
        let mut shims = Shims::default();
        for (number, instance) in component.instances.iter().enumerate() {
            let Some(slots) = modules.get(instance.module).and_then(slots) else {
                continue;
            };
            let Some((fixups, contents)) = contents(component, modules, number) else {
                continue;
            };
            for (func, slot) in slots.iter().enumerate() {
                if let Some(target) = contents.get(slot) {
                    shims.targets.insert((number, func as u32), target.clone());
                }
            }
            shims.gone.insert(number);
            shims.gone.extend(fixups);
        }
        shims
    }

    /// What is behind `def`, if it is a function of a shim: the definition that is none. `None` if it leads in a circle.
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

    /// The instance and the function behind `def`, if it is a function of an instance.
    pub fn resolve(&self, def: &Def) -> Option<(usize, u32)> {
        match self.follow(def)? {
            Def::Item {
                instance,
                item: Item::Func(func),
            } => Some((*instance, *func)),
            _ => None,
        }
    }

    /// What `func` of `instance` calls, if that is a shim.
    pub fn target(&self, instance: usize, func: u32) -> Option<&Def> {
        self.targets.get(&(instance, func))
    }
}

/// For each function of a shim, the slot that it calls through. None if `module` is no shim.
fn slots(module: &Module<'_>) -> Option<Vec<u32>> {
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
    let func_types = (0..).map_while(|index| module.func_type(index));
    let slots = module.bodies.iter().zip(func_types).zip(&module.funcs);
    slots
        .map(|((body, ty), index)| slot(body, ty.params().len(), *index))
        .collect()
}

/// The slot that a body calls through, handing on its parameters as they are.
fn slot(body: &FunctionBody<'_>, params: usize, own_type: u32) -> Option<u32> {
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
        } if type_index == own_type => {}
        _ => return None,
    }
    let ends = matches!(operators.read().ok()?, Operator::End) && operators.eof();
    if ends {
        u32::try_from(value).ok()
    } else {
        None
    }
}

/// What the fixups of shim `shim` put into its table, and which instances they are. None if others use the table too.
fn contents(
    component: &Component<'_>,
    modules: &[Module<'_>],
    shim: usize,
) -> Option<(Vec<usize>, HashMap<u32, Def>)> {
    let table = Def::Item {
        instance: shim,
        item: Item::Table(0),
    };
    let mut fixups = Vec::new();
    let mut contents = HashMap::new();
    for (number, instance) in component.instances.iter().enumerate() {
        if !instance.imports.contains(&table) {
            continue;
        }
        let module = modules.get(instance.module)?;
        let is_bare = module.tables.len() == 1
            && module.memories.is_empty()
            && module.globals.is_empty()
            && module.bodies.is_empty()
            && module.data.is_empty();
        // Since wit-component 0.258 they may have a start section. Without bodies its function is an imported one.
        if !is_bare {
            return None;
        }
        let imported = module.imports.iter().zip(&instance.imports);
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
        fixups.push(number);
    }
    if fixups.is_empty() {
        None
    } else {
        Some((fixups, contents))
    }
}
