//! Fills the graph: every import of every instance, and of the bridge, becomes what the plan says feeds it.

use crate::bridge::{ALLOCATE, Bridge, BridgeImport, PREVIEW1};
use crate::component::{Component, Def, Item, ResourceRef};
use crate::error::AdaptError;
use crate::link::body::{BodyBuilder, Prologue, Ref};
use crate::link::graph::{Code, Const, Func, FuncId, Global, GlobalId, Graph, unlinkable};
use crate::link::refusal;
use crate::link::unit::{Callee, Unit};
use crate::module::{Import, Module};
use crate::plan::{Binding, Plan};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use wasmparser::{FuncType, GlobalType, TypeRef, ValType};

/// No chain of imports that stand for imports is this long, unless it bites its tail.
const MAX_CHAIN: usize = 64;

/// The graph, and what is still to be known of where it came from.
pub struct Resolved<'a> {
    /// The graph.
    pub graph: Graph<'a>,
    /// Index spaces of the instances, in order, and of the bridge, last. Those that are gone have none.
    pub units: Vec<Option<Unit<'a>>>,
    /// The bridge's exports that the module will have.
    pub exports: Vec<(String, FuncId)>,
    /// Functions of the bridge that begin by allocating its state, if that has not been done.
    pub guarded: HashSet<FuncId>,
    /// How they do so.
    pub prologue: Prologue,
}

/// What is being resolved.
struct Resolver<'a, 'c> {
    component: &'c Component<'a>,
    plan: &'c Plan,
    bridge: &'a Bridge<'a>,
    graph: Graph<'a>,
    units: Vec<Option<Unit<'a>>>,
    refusals: HashMap<usize, FuncId>,
    start: FuncId,
    state: GlobalId,
    guarded: HashSet<FuncId>,
}

/// Fills the graph.
pub fn resolve<'a>(
    component: &Component<'a>,
    modules: &'a [Module<'a>],
    bridge: &'a Bridge<'a>,
    plan: &Plan,
) -> Result<Resolved<'a>, AdaptError> {
    let mut graph = Graph::default();
    let state = GlobalType {
        content_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    let state = graph.global(Global {
        ty: state,
        init: Const::I32(0),
    });
    let ty = graph.type_id(&FuncType::new([], []));
    let code = Code::Body(BodyBuilder::new().finish());
    let start = graph.func(Func {
        ty,
        code,
        name: Some(Cow::Borrowed("[component start]")),
    });
    let mut resolver = Resolver {
        component,
        plan,
        bridge,
        graph,
        units: Vec::new(),
        refusals: HashMap::new(),
        start,
        state,
        guarded: HashSet::new(),
    };
    resolver.declare(modules)?;
    resolver.funcs()?;
    resolver.rest()?;
    if resolver.graph.memories.len() != 1 {
        return Err(AdaptError::Memories {
            count: resolver.graph.memories.len(),
        });
    }
    resolver.finish()
}

// === impl Resolver ===

impl<'a> Resolver<'a, '_> {
    fn declare(&mut self, modules: &'a [Module<'a>]) -> Result<(), AdaptError> {
        for (number, instance) in self.component.instances.iter().enumerate() {
            let Some(module) = modules.get(instance.module) else {
                return Err(unlinkable(
                    instance.module.to_string(),
                    "it is not in the component",
                ));
            };
            let label = instance.module.to_string();
            let is_gone = self.plan.shims.gone.contains(&number);
            self.units
                .push((!is_gone).then(|| Unit::declare(&mut self.graph, module, number, label)));
        }
        let number = self.units.len();
        let label = "of the bridge".to_owned();
        self.units.push(Some(Unit::declare(
            &mut self.graph,
            &self.bridge.module,
            number,
            label,
        )));
        Ok(())
    }

    /// Says what every imported function is.
    fn funcs(&mut self) -> Result<(), AdaptError> {
        for number in 0..self.units.len() {
            let Some(module) = self.units[number].as_ref().map(|unit| unit.module) else {
                continue;
            };
            let funcs = module
                .imports
                .iter()
                .enumerate()
                .filter(|(_, import)| matches!(import.ty, TypeRef::Func(_)));
            for (index, (position, import)) in funcs.enumerate() {
                let callee = match self.component.instances.get(number) {
                    Some(instance) => match (
                        self.plan.preview1.get(&(number, position)),
                        instance.imports.get(position),
                    ) {
                        (Some(function), _) => {
                            self.bridge_function(&Bridge::export_name(PREVIEW1, function), 0)?
                        }
                        (None, Some(def)) => self.def(def, 0)?,
                        (None, None) => Callee::Absent,
                    },
                    None => self.bridge_import(import)?,
                };
                self.check_type(number, index as u32, callee)?;
                if let Some(unit) = &mut self.units[number] {
                    unit.callees[index] = callee;
                }
            }
        }
        Ok(())
    }

    fn check_type(&self, number: usize, index: u32, callee: Callee) -> Result<(), AdaptError> {
        let Some(unit) = &self.units[number] else {
            return Ok(());
        };
        let Callee::Func(id) = callee else {
            return Ok(());
        };
        let (wanted, found) = (unit.module.func_type(index), self.graph.funcs.get(id.at()));
        let found = found.and_then(|func| self.graph.types.get(func.ty.at()));
        if wanted == found {
            return Ok(());
        }
        let import = unit
            .module
            .imports
            .iter()
            .filter(|import| matches!(import.ty, TypeRef::Func(_)));
        let name = import
            .map(|import| format!("`{}` `{}`", import.module, import.name))
            .nth(index as usize);
        let show =
            |ty: Option<&FuncType>| ty.map(|ty| crate::types::Signature::from(ty).to_string());
        Err(unlinkable(
            unit.label.clone(),
            format!(
                "{} is wanted as {} and provided as {}",
                name.unwrap_or_default(),
                show(wanted).unwrap_or_default(),
                show(found).unwrap_or_default()
            ),
        ))
    }

    /// The function behind `def`.
    fn def(&mut self, def: &Def, depth: usize) -> Result<Callee, AdaptError> {
        if depth > MAX_CHAIN {
            return Err(unlinkable("(all)", "an import stands for itself"));
        }
        match def {
            Def::Item {
                instance,
                item: Item::Func(func),
            } => {
                if let Some(target) = self.plan.shims.target(*instance, *func) {
                    let target = target.clone();
                    return self.def(&target, depth + 1);
                }
                let Some(unit) = self.units.get(*instance).and_then(Option::as_ref) else {
                    return Ok(Callee::Absent);
                };
                // Imports of an earlier instance may not have been resolved themselves.
                if (*func as usize) < unit.module.imported.funcs {
                    let position = unit.module.import_of_func(*func);
                    let source = self.component.instances.get(*instance);
                    let def = position
                        .zip(source)
                        .and_then(|(at, source)| source.imports.get(at))
                        .cloned();
                    return match def {
                        Some(def) => self.def(&def, depth + 1),
                        None => Ok(Callee::Absent),
                    };
                }
                unit.callee(*func)
            }
            Def::Item { .. } => Ok(Callee::Absent),
            Def::Lowered(index) => self.lowered(*index, depth),
            Def::ResourceNew(_) | Def::ResourceRep(_) => Ok(Callee::Identity),
            Def::Async(_) => Ok(Callee::Async),
            Def::ResourceDrop(ResourceRef::Defined(index)) => {
                let dtor = self
                    .component
                    .resources
                    .get(*index)
                    .and_then(|resource| resource.dtor.as_ref());
                dtor.map_or(Ok(Callee::Nothing), |dtor| self.def(dtor, depth + 1))
            }
            Def::ResourceDrop(resource) => match self.plan.drops.get(resource) {
                Some(export) => self.bridge_function(export, depth),
                None => Ok(Callee::Nothing),
            },
        }
    }

    fn lowered(&mut self, index: usize, depth: usize) -> Result<Callee, AdaptError> {
        match self.plan.bindings.get(index) {
            Some(Binding::Bridge { export, .. }) => self.bridge_function(export, depth),
            Some(Binding::Stub {
                function,
                ty,
                signature,
            }) => {
                let id = match self.refusals.get(&index) {
                    Some(id) => *id,
                    None => {
                        let realloc = self.component.lowerings.get(index);
                        let realloc = realloc.and_then(|lowering| lowering.realloc.as_ref());
                        let realloc = realloc.map(|realloc| self.def(realloc, depth + 1));
                        let realloc = match realloc.transpose()? {
                            Some(Callee::Func(id)) => Some(id),
                            _ => None,
                        };
                        let id = refusal::make(&mut self.graph, function, ty, signature, realloc);
                        self.refusals.insert(index, id);
                        id
                    }
                };
                Ok(Callee::Func(id))
            }
            None => Ok(Callee::Absent),
        }
    }

    fn bridge_export(&mut self, name: &str, depth: usize) -> Result<Callee, AdaptError> {
        let unit = self.units.last().and_then(Option::as_ref);
        let index = self.bridge.module.exported_func(name);
        match (unit, index) {
            (Some(unit), Some(index)) if depth <= MAX_CHAIN => unit.callee(index),
            _ => Ok(Callee::Absent),
        }
    }

    /// An export of the bridge that the component calls. Start code may call it before the bridge has its state.
    fn bridge_function(&mut self, name: &str, depth: usize) -> Result<Callee, AdaptError> {
        let callee = self.bridge_export(name, depth)?;
        let index = self.bridge.module.exported_func(name);
        let is_stateful = index.and_then(|index| self.bridge.is_stateful.get(index as usize));
        if let (Callee::Func(id), Some(true), false) =
            (callee, is_stateful, self.plan.starts.is_empty())
        {
            self.guarded.insert(id);
        }
        Ok(callee)
    }

    /// What an import of the bridge is, by its contract.
    fn bridge_import(&mut self, import: &'a Import<'a>) -> Result<Callee, AdaptError> {
        let plan = self.plan;
        let guest = |name: &str| plan.guest.get(name);
        let (def, otherwise) = match BridgeImport::of(import.module, import.name) {
            BridgeImport::Guest(name) => (guest(name).map(|lift| &lift.func), Callee::Absent),
            // Where it is absent, only callbacks of other names reach it.
            BridgeImport::Callback { name, .. } => {
                (guest(name).map(|lift| &lift.func), Callee::Nothing)
            }
            BridgeImport::PostReturn(name) => {
                let post_return = guest(name).and_then(|lift| lift.post_return.as_ref());
                (post_return, Callee::Nothing)
            }
            BridgeImport::Destructor(name) => (plan.dtors.get(name), Callee::Nothing),
            BridgeImport::ImportRealloc => (Some(&plan.reallocs.import), Callee::Absent),
            BridgeImport::ExportRealloc => (Some(&plan.reallocs.export), Callee::Absent),
            BridgeImport::Keep => (Some(&plan.reallocs.keep), Callee::Absent),
            BridgeImport::Start => (None, Callee::Func(self.start)),
            BridgeImport::StateGet => (None, Callee::GlobalGet(self.state)),
            BridgeImport::StateSet => (None, Callee::GlobalSet(self.state)),
            // The bridge's globals are not entered yet. `rest` binds this one.
            BridgeImport::StackSet => (None, Callee::Nothing),
            BridgeImport::Proxy => return self.proxy_function(import),
        };
        match def {
            Some(def) => self.def(def, 0),
            None => Ok(otherwise),
        }
    }

    /// A function that stays an import.
    fn proxy_function(&mut self, import: &'a Import<'a>) -> Result<Callee, AdaptError> {
        let ty = match import.ty {
            TypeRef::Func(ty) => self.bridge.module.types.get(ty as usize),
            _ => None,
        };
        let Some(ty) = ty else {
            return Ok(Callee::Absent);
        };
        let ty = self.graph.type_id(ty);
        let code = Code::Import {
            module: import.module,
            name: import.name,
        };
        Ok(Callee::Func(self.graph.func(Func {
            ty,
            code,
            name: Some(Cow::Borrowed(import.name)),
        })))
    }

    /// Resolves imported tables and globals, instance by instance, and enters what each defines.
    fn rest(&mut self) -> Result<(), AdaptError> {
        for number in 0..self.units.len() {
            let Some(mut unit) = self.units[number].take() else {
                continue;
            };
            let empty = Vec::new();
            let defs = self
                .component
                .instances
                .get(number)
                .map_or(&empty, |instance| &instance.imports);
            for (import, def) in unit.module.imports.iter().zip(defs) {
                let missing = || {
                    unlinkable(
                        unit.label.clone(),
                        format!("`{}` is not provided", import.name),
                    )
                };
                match (import.ty, def) {
                    (
                        TypeRef::Table(_),
                        Def::Item {
                            instance,
                            item: Item::Table(index),
                        },
                    ) => {
                        let source = self
                            .units
                            .get(*instance)
                            .and_then(Option::as_ref)
                            .ok_or_else(missing)?;
                        unit.tables.push(source.table(*index)?);
                    }
                    (
                        TypeRef::Global(_),
                        Def::Item {
                            instance,
                            item: Item::Global(index),
                        },
                    ) => {
                        let source = self
                            .units
                            .get(*instance)
                            .and_then(Option::as_ref)
                            .ok_or_else(missing)?;
                        unit.globals.push(source.global(*index)?);
                    }
                    (TypeRef::Func(_) | TypeRef::Memory(_), _) => {}
                    _ => return Err(missing()),
                }
            }
            unit.define(&mut self.graph)?;
            if number + 1 == self.units.len() {
                self.bind_stack(&mut unit);
            }
            self.units[number] = Some(unit);
        }
        Ok(())
    }

    /// Lets the bridge set its stack pointer, if it has one.
    fn bind_stack(&self, bridge: &mut Unit<'a>) {
        let named = bridge
            .module
            .global_names
            .iter()
            .find(|(_, name)| *name == "__stack_pointer");
        let index = named.map_or(0, |(index, _)| *index);
        let is_stack = |(ty, _): &&(GlobalType, _)| ty.mutable && ty.content_type == ValType::I32;
        if bridge
            .module
            .globals
            .get(index as usize)
            .filter(is_stack)
            .is_none()
        {
            return;
        }
        let Ok(global) = bridge.global(index) else {
            return;
        };
        let imports = bridge
            .module
            .imports
            .iter()
            .filter(|import| matches!(import.ty, TypeRef::Func(_)));
        let positions = imports.enumerate().filter(|(_, import)| {
            BridgeImport::of(import.module, import.name) == BridgeImport::StackSet
        });
        for (index, _) in positions {
            bridge.callees[index] = Callee::GlobalSet(global);
        }
    }

    fn finish(mut self) -> Result<Resolved<'a>, AdaptError> {
        let mut exports = Vec::new();
        for name in self.plan.exports.keys() {
            match self.bridge_export(name, 0)? {
                Callee::Func(id) => exports.push((name.clone(), id)),
                _ => {
                    return Err(unlinkable(
                        "of the bridge",
                        format!("it does not export `{name}`"),
                    ));
                }
            }
        }
        let mut start = BodyBuilder::new();
        for code in &self.plan.starts {
            match self.def(&code.func, 0)? {
                Callee::Func(id) => {
                    start.refer(Ref::Call(id));
                }
                Callee::Nothing => {}
                _ => {
                    return Err(AdaptError::Internal {
                        message: format!("there is no {}", code.name),
                    });
                }
            }
        }
        if let Some(func) = self.graph.funcs.get_mut(self.start.at()) {
            func.code = Code::Body(start.finish());
        }
        let Callee::Func(allocate) = self.bridge_export(ALLOCATE, 0)? else {
            return Err(AdaptError::Internal {
                message: format!("the bridge does not export `{ALLOCATE}`"),
            });
        };
        Ok(Resolved {
            graph: self.graph,
            units: self.units,
            exports,
            guarded: self.guarded,
            prologue: Prologue {
                state: self.state,
                allocate,
            },
        })
    }
}
