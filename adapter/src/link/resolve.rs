//! Fills the graph: every import of every instance, and of the bridge, becomes what the plan says feeds it.

use crate::bridge::{Bridge, CABI, GUEST, GUEST_POST, PREVIEW1, STATE};
use crate::classify;
use crate::component::{Component, Def, Item, ResourceRef};
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::link::body::{BodyBuilder, Ref};
use crate::link::graph::{Code, Const, Func, FuncId, Global, GlobalId, Graph, unlinkable};
use crate::link::refusal;
use crate::link::unit::{Callee, Unit};
use crate::module::Module;
use crate::plan::{Feed, Plan};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
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
    /// The function that runs the instances' start functions.
    pub start: FuncId,
    /// The instances' start functions in order, by instance.
    pub starts: Vec<(usize, FuncId)>,
    /// Instances that served WASI's first preview and are bypassed.
    pub bypassed: BTreeSet<usize>,
}

/// What is being resolved.
struct Resolver<'a, 'c> {
    component: &'c Component<'a>,
    contract: &'c Contract,
    plan: &'c Plan,
    bridge: &'a Bridge<'a>,
    graph: Graph<'a>,
    units: Vec<Option<Unit<'a>>>,
    refusals: HashMap<usize, FuncId>,
    start: FuncId,
    state: GlobalId,
    bypassed: BTreeSet<usize>,
}

/// Fills the graph.
pub fn resolve<'a>(
    component: &Component<'a>,
    modules: &'a [Module<'a>],
    contract: &Contract,
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
        contract,
        plan,
        bridge,
        graph,
        units: Vec::new(),
        refusals: HashMap::new(),
        start,
        state,
        bypassed: BTreeSet::new(),
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
                    Some(_) if self.plan.preview1.contains_key(&(number, position)) => {
                        self.bypass(number, position);
                        self.bridge_export(&Bridge::export_name(PREVIEW1, import.name), 0)?
                    }
                    Some(instance) => match instance.imports.get(position) {
                        Some(def) => self.def(def, 0)?,
                        None => Callee::Absent,
                    },
                    None => self.bridge_import(position)?,
                };
                self.check_type(number, index as u32, callee)?;
                if let Some(unit) = &mut self.units[number] {
                    unit.callees[index] = callee;
                }
            }
        }
        Ok(())
    }

    /// Notes which instance would have served an import that now goes to the bridge.
    fn bypass(&mut self, number: usize, position: usize) {
        let mut def = self
            .component
            .instances
            .get(number)
            .and_then(|instance| instance.imports.get(position));
        for _ in 0..MAX_CHAIN {
            let Some(Def::Item {
                instance,
                item: Item::Func(func),
            }) = def
            else {
                return;
            };
            def = match self.plan.shims.target(*instance, *func) {
                Some(target) => Some(target),
                None => {
                    self.bypassed.insert(*instance);
                    return;
                }
            };
        }
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
                    let imports = unit.module.imports.iter().enumerate();
                    let mut funcs =
                        imports.filter(|(_, import)| matches!(import.ty, TypeRef::Func(_)));
                    let position = funcs.nth(*func as usize).map(|(position, _)| position);
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
            Def::ResourceDrop(ResourceRef::Defined(index)) => {
                let dtor = self
                    .component
                    .resources
                    .get(*index)
                    .and_then(|resource| resource.dtor.as_ref());
                dtor.map_or(Ok(Callee::Nothing), |dtor| self.def(dtor, depth + 1))
            }
            Def::ResourceDrop(resource) => match classify::drop_name(resource, self.contract) {
                Some(name) if self.bridge.exports.contains_key(&name) => {
                    self.bridge_export(&name, depth)
                }
                _ => Ok(Callee::Nothing),
            },
        }
    }

    fn lowered(&mut self, index: usize, depth: usize) -> Result<Callee, AdaptError> {
        match self.plan.feeds.get(index) {
            Some(Feed::Bridge { export, .. }) => self.bridge_export(export, depth),
            Some(Feed::Refusal {
                function,
                ty,
                signature,
            }) => {
                let id = match self.refusals.get(&index) {
                    Some(id) => *id,
                    None => {
                        let id = refusal::make(&mut self.graph, function, ty, signature);
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

    /// What an import of the bridge is, by its contract.
    fn bridge_import(&mut self, position: usize) -> Result<Callee, AdaptError> {
        let Some(import) = self.bridge.module.imports.get(position) else {
            return Ok(Callee::Absent);
        };
        let of = |def: Option<&Def>, otherwise: Callee, resolver: &mut Self| match def {
            Some(def) => resolver.def(&def.clone(), 0),
            None => Ok(otherwise),
        };
        match (import.module, import.name) {
            (GUEST, name) => match (self.plan.guest.get(name), self.plan.dtors.get(name)) {
                (Some(lift), _) => of(Some(&lift.func), Callee::Absent, self),
                (None, dtor) if name.contains("#[dtor]") => of(dtor, Callee::Nothing, self),
                (None, _) => Ok(Callee::Absent),
            },
            (GUEST_POST, name) => {
                let post_return = self
                    .plan
                    .guest
                    .get(name)
                    .and_then(|lift| lift.post_return.as_ref());
                of(post_return, Callee::Nothing, self)
            }
            (CABI, "realloc") => of(self.plan.realloc.as_ref(), Callee::Absent, self),
            (CABI, "keep") => of(self.plan.keep.as_ref(), Callee::Absent, self),
            (CABI, "start") => Ok(Callee::Func(self.start)),
            (STATE, "get") => Ok(Callee::GlobalGet(self.state)),
            (STATE, "set") => Ok(Callee::GlobalSet(self.state)),
            // The bridge's globals are not entered yet. `rest` knows this one.
            (STATE, "set-stack") => Ok(Callee::Nothing),
            (module, name) => {
                let ty = match import.ty {
                    TypeRef::Func(ty) => self.bridge.module.types.get(ty as usize),
                    _ => None,
                };
                let Some(ty) = ty else {
                    return Ok(Callee::Absent);
                };
                let ty = self.graph.type_id(ty);
                let code = Code::Import { module, name };
                Ok(Callee::Func(self.graph.func(Func {
                    ty,
                    code,
                    name: Some(Cow::Borrowed(name)),
                })))
            }
        }
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
        let positions = imports
            .enumerate()
            .filter(|(_, import)| (import.module, import.name) == (STATE, "set-stack"));
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
        let mut starts = Vec::new();
        for unit in self.units.iter_mut().flatten() {
            if let Some(start) = unit.module.start {
                starts.push((unit.number, unit.func(&mut self.graph, start)?));
            }
        }
        Ok(Resolved {
            graph: self.graph,
            units: self.units,
            exports,
            start: self.start,
            starts,
            bypassed: self.bypassed,
        })
    }
}

// === impl Resolved ===

impl Resolved<'_> {
    /// Sets which of the instances' start functions are run.
    pub fn run(&mut self, starts: &[FuncId]) {
        let mut body = BodyBuilder::new();
        for start in starts {
            body.refer(Ref::Call(*start));
        }
        if let Some(func) = self.graph.funcs.get_mut(self.start.at()) {
            func.code = Code::Body(body.finish());
        }
    }
}
