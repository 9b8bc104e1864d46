//! Fills the graph, and binds every import of every instance and of the bridge as the plan has decided.

use crate::bridge::{ALLOCATE, Bridge, BridgeImport, PREVIEW1};
use crate::component::{Component, Def, Item, Modules, ResourceRef};
use crate::error::AdaptError;
use crate::ids::{FuncIndex, GlobalIndex, InstanceId, LoweringId, TypeIndex};
use crate::link::body::{BodyBuilder, Prologue, Ref};
use crate::link::graph::{Code, Const, Func, Global, Graph};
use crate::link::ids::{FuncId, GlobalId, InputId};
use crate::link::input::{Callee, LinkInput};
use crate::link::realloc;
use crate::link::stub;
use crate::module::Import;
use crate::plan::{Binding, Plan};
use crate::types::Signature;
use cranelift_entity::{EntityRef, PrimaryMap};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use wasmparser::{FuncType, GlobalType, TypeRef, ValType};

/// The maximum length of a chain of imports that are bound to other imports. A longer one is a cycle.
const MAX_CHAIN: usize = 64;

/// The filled graph, and what the later steps need to know about the inputs.
pub struct Resolved<'a> {
    /// The graph.
    pub graph: Graph<'a>,
    /// The core instances in order, then the bridge. `None` for shims and fixups, which are not linked.
    pub inputs: PrimaryMap<InputId, Option<LinkInput<'a>>>,
    /// The bridge's exports that the module will have.
    pub exports: Vec<(String, FuncId)>,
    /// Functions of the bridge that get the prologue.
    pub guarded: HashSet<FuncId>,
    /// The prologue, which allocates the bridge's state if that has not been done.
    pub prologue: Prologue,
}

/// The graph while it is being filled.
struct Resolver<'a, 'c> {
    component: &'c Component<'a>,
    plan: &'c Plan,
    bridge: &'a Bridge<'a>,
    graph: Graph<'a>,
    inputs: PrimaryMap<InputId, Option<LinkInput<'a>>>,
    stubs: HashMap<LoweringId, FuncId>,
    wrappers: HashMap<LoweringId, FuncId>,
    start: FuncId,
    state: GlobalId,
    /// The number of the current allocator of results, if there are several.
    current_realloc: Option<GlobalId>,
    guarded: HashSet<FuncId>,
}

/// Fills the graph and binds all imports.
pub fn resolve<'a>(
    component: &Component<'a>,
    modules: &'a Modules<'a>,
    bridge: &'a Bridge<'a>,
    plan: &Plan,
) -> Result<Resolved<'a>, AdaptError> {
    let mut graph = Graph::default();
    let state = GlobalType {
        content_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    let state = graph.globals.push(Global {
        ty: state,
        init: Const::I32(0),
    });
    let current_realloc = (plan.reallocs.imports.len() > 1).then(|| realloc::current(&mut graph));
    let ty = graph.type_id(&FuncType::new([], []));
    let code = Code::Body(BodyBuilder::new().finish());
    let start = graph.funcs.push(Func {
        ty,
        code,
        name: Some(Cow::Borrowed("[component start]")),
    });
    let mut resolver = Resolver {
        component,
        plan,
        bridge,
        graph,
        inputs: PrimaryMap::new(),
        stubs: HashMap::new(),
        wrappers: HashMap::new(),
        current_realloc,
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

/// The input that an instance is: inputs are the instances in order, then the bridge.
fn input_of(instance: InstanceId) -> InputId {
    InputId::from_u32(instance.as_u32())
}

/// Checks that the function bound to an import has the import's type.
fn check_type(
    graph: &Graph<'_>,
    input: &LinkInput<'_>,
    index: FuncIndex,
    callee: Callee,
) -> Result<(), AdaptError> {
    let Callee::Func(id) = callee else {
        return Ok(());
    };
    let wanted = input.module.func_type(index);
    let found = &graph.types[graph.funcs[id].ty];
    if wanted == Some(found) {
        return Ok(());
    }
    let show = |ty: &FuncType| Signature::from(ty).to_string();
    let import = input.module.import_of_func(index);
    let import = import.and_then(|import| input.module.imports.get(import));
    Err(AdaptError::link(
        input.label.clone(),
        format!(
            "{} is imported as {}, but provided as {}",
            import.map_or(String::new(), |it| format!("`{}` `{}`", it.module, it.name)),
            wanted.map(show).unwrap_or_default(),
            show(found)
        ),
    ))
}

// === impl Resolver ===

impl<'a> Resolver<'a, '_> {
    fn declare(&mut self, modules: &'a Modules<'a>) -> Result<(), AdaptError> {
        for (id, instance) in self.component.instances.iter() {
            let input = match self.plan.shims.gone.contains(&id) {
                true => None,
                false => Some(LinkInput::declare(
                    &mut self.graph,
                    &modules[instance.module],
                    input_of(id),
                    instance.module.index().to_string(),
                )?),
            };
            self.inputs.push(input);
        }
        let label = "of the bridge".to_owned();
        let id = self.inputs.next_key();
        let bridge = LinkInput::declare(&mut self.graph, &self.bridge.module, id, label)?;
        self.inputs.push(Some(bridge));
        Ok(())
    }

    /// Binds every imported function.
    fn funcs(&mut self) -> Result<(), AdaptError> {
        for id in self.inputs.keys() {
            let Some(module) = self.inputs[id].as_ref().map(|input| input.module) else {
                continue;
            };
            for (func, (index, import)) in module.imported_funcs().enumerate() {
                let func = FuncIndex::new(func);
                let callee = match self.instance_of(id) {
                    Some(instance) => match (
                        self.plan.preview1.get(&(instance, index)),
                        self.component.instances[instance].imports.get(index),
                    ) {
                        (Some(function), _) => {
                            self.bridge_function(&Bridge::export_name(PREVIEW1, function), 0)?
                        }
                        (None, Some(def)) => self.def(def, 0)?,
                        (None, None) => Callee::Absent,
                    },
                    None => self.bridge_import(import)?,
                };
                if let Some(input) = &mut self.inputs[id] {
                    check_type(&self.graph, input, func, callee)?;
                    input.callees[func] = callee;
                }
            }
        }
        Ok(())
    }

    /// Resolves a definition to a callee, through shims and imports.
    fn def(&mut self, def: &Def, depth: usize) -> Result<Callee, AdaptError> {
        if depth > MAX_CHAIN {
            return Err(AdaptError::link("(all)", "an import refers to itself"));
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
                let Some(input) = &self.inputs[input_of(*instance)] else {
                    return Ok(Callee::Absent);
                };
                // The imports of that instance may not have been resolved yet, so its definition is followed.
                if let Some(import) = input.module.import_of_func(*func) {
                    let imports = &self.component.instances[*instance].imports;
                    return match imports.get(import).cloned() {
                        Some(def) => self.def(&def, depth + 1),
                        None => Ok(Callee::Absent),
                    };
                }
                input.callee(*func)
            }
            Def::Item { .. } => Ok(Callee::Absent),
            Def::Lowered(id) => self.lowered(*id, depth),
            Def::ResourceNew(_) | Def::ResourceRep(_) => Ok(Callee::Identity),
            Def::Async(_) => Ok(Callee::Async),
            Def::ResourceDrop(ResourceRef::Defined(id)) => {
                let dtor = self.component.resources[*id].dtor.as_ref();
                dtor.map_or(Ok(Callee::Nothing), |dtor| self.def(dtor, depth + 1))
            }
            Def::ResourceDrop(resource) => match self.plan.drops.get(resource) {
                Some(export) => self.bridge_function(export, depth),
                None => Ok(Callee::Nothing),
            },
        }
    }

    fn lowered(&mut self, id: LoweringId, depth: usize) -> Result<Callee, AdaptError> {
        match &self.plan.bindings[id] {
            Binding::Bridge { export, .. } => {
                let callee = self.bridge_function(export, depth)?;
                Ok(self.with_realloc(id, callee))
            }
            Binding::Stub {
                function,
                ty,
                signature,
            } => {
                if let Some(stub) = self.stubs.get(&id) {
                    return Ok(Callee::Func(*stub));
                }
                let realloc = self.component.lowerings[id].realloc.as_ref();
                let realloc = realloc.map(|realloc| self.def(realloc, depth + 1));
                let realloc = match realloc.transpose()? {
                    Some(Callee::Func(realloc)) => Some(realloc),
                    _ => None,
                };
                let stub = stub::make(&mut self.graph, function, ty, signature, realloc);
                self.stubs.insert(id, stub);
                Ok(Callee::Func(stub))
            }
        }
    }

    /// Wraps the function that implements a lowered import, if that import's allocator has to be selected.
    fn with_realloc(&mut self, id: LoweringId, callee: Callee) -> Callee {
        let number = self.plan.reallocs.by_lowering.get(&id);
        let (Some(current), Some(number), Callee::Func(hostcall)) =
            (self.current_realloc, number, callee)
        else {
            return callee;
        };
        let graph = &mut self.graph;
        let wrapper = self.wrappers.entry(id);
        let make = || realloc::wrapper(graph, hostcall, *number, current);
        Callee::Func(*wrapper.or_insert_with(make))
    }

    /// Resolves the function that allocates results: the only one, or a dispatcher.
    fn import_realloc(&mut self) -> Result<Callee, AdaptError> {
        let plan = self.plan;
        let (Some(current), imports) = (self.current_realloc, &plan.reallocs.imports) else {
            let only = plan.reallocs.imports.first();
            return only.map_or(Ok(Callee::Absent), |only| self.def(only, 0));
        };
        let mut allocators = Vec::new();
        for import in imports {
            match self.def(import, 0)? {
                Callee::Func(id) => allocators.push(id),
                _ => {
                    return Err(AdaptError::Internal {
                        message: "an allocator of results is not a function".to_owned(),
                    });
                }
            }
        }
        let dispatcher = realloc::dispatcher(&mut self.graph, &allocators, current)?;
        Ok(Callee::Func(dispatcher))
    }

    fn bridge_export(&mut self, name: &str, depth: usize) -> Result<Callee, AdaptError> {
        let input = self.inputs.last().and_then(|(_, bridge)| bridge.as_ref());
        let index = self.bridge.module.exported_func(name);
        match (input, index) {
            (Some(input), Some(index)) if depth <= MAX_CHAIN => input.callee(index),
            _ => Ok(Callee::Absent),
        }
    }

    /// Resolves an export of the bridge that the component calls. It gets the prologue if it needs the bridge's state
    /// and there is start code, which may call it before the state has been allocated.
    fn bridge_function(&mut self, name: &str, depth: usize) -> Result<Callee, AdaptError> {
        let callee = self.bridge_export(name, depth)?;
        let index = self.bridge.module.exported_func(name);
        let is_stateful = index.and_then(|index| self.bridge.is_stateful.get(index));
        if let (Callee::Func(id), Some(true), false) =
            (callee, is_stateful, self.plan.starts.is_empty())
        {
            self.guarded.insert(id);
        }
        Ok(callee)
    }

    /// Resolves an import of the bridge, as its contract specifies.
    fn bridge_import(&mut self, import: &'a Import<'a>) -> Result<Callee, AdaptError> {
        let plan = self.plan;
        let guest = |name: &str| plan.guest.get(name);
        let (def, otherwise) = match BridgeImport::of(import.module, import.name) {
            BridgeImport::Guest(name) => (guest(name).map(|lift| &lift.func), Callee::Absent),
            // If the component lacks it, the bridge's export that delivers it is left out, and only other callbacks
            // reach this import.
            BridgeImport::Callback { name, .. } => {
                (guest(name).map(|lift| &lift.func), Callee::Nothing)
            }
            BridgeImport::PostReturn(name) => {
                let post_return = guest(name).and_then(|lift| lift.post_return.as_ref());
                (post_return, Callee::Nothing)
            }
            BridgeImport::Exported(name) => {
                let is_there = guest(name).is_some();
                (None, Callee::Constant(is_there.into()))
            }
            BridgeImport::Destructor(name) => (plan.dtors.get(name), Callee::Nothing),
            BridgeImport::ImportRealloc => return self.import_realloc(),
            BridgeImport::ArgumentRealloc(name) => match guest(name) {
                Some(lift) => (lift.realloc.as_ref(), Callee::Absent),
                None => (None, Callee::Constant(0)),
            },
            BridgeImport::Keep => (Some(&plan.reallocs.keep), Callee::Absent),
            BridgeImport::Start => (None, Callee::Func(self.start)),
            BridgeImport::StateGet => (None, Callee::GlobalGet(self.state)),
            BridgeImport::StateSet => (None, Callee::GlobalSet(self.state)),
            // The bridge's globals have not been entered yet. `rest` binds this import.
            BridgeImport::StackSet => (None, Callee::Nothing),
            BridgeImport::Proxy => return self.proxy_function(import),
        };
        match def {
            Some(def) => self.def(def, 0),
            None => Ok(otherwise),
        }
    }

    /// A function of the host, which stays an import.
    fn proxy_function(&mut self, import: &'a Import<'a>) -> Result<Callee, AdaptError> {
        let ty = match import.ty {
            TypeRef::Func(ty) => self.bridge.module.types.get(TypeIndex::from_u32(ty)),
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
        Ok(Callee::Func(self.graph.funcs.push(Func {
            ty,
            code,
            name: Some(Cow::Borrowed(import.name)),
        })))
    }

    /// Resolves imported tables and globals, instance by instance, and enters what each instance defines.
    fn rest(&mut self) -> Result<(), AdaptError> {
        for id in self.inputs.keys() {
            let Some(mut input) = self.inputs[id].take() else {
                continue;
            };
            let instance = self.instance_of(id);
            let defs = instance.map(|instance| self.component.instances[instance].imports.values());
            let defs = defs.into_iter().flatten();
            for (import, def) in input.module.imports.values().zip(defs) {
                let missing = || {
                    AdaptError::link(
                        input.label.clone(),
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
                        let source = self.inputs[input_of(*instance)]
                            .as_ref()
                            .ok_or_else(missing)?;
                        input.tables.push(source.table(*index)?);
                    }
                    (
                        TypeRef::Global(_),
                        Def::Item {
                            instance,
                            item: Item::Global(index),
                        },
                    ) => {
                        let source = self.inputs[input_of(*instance)]
                            .as_ref()
                            .ok_or_else(missing)?;
                        input.globals.push(source.global(*index)?);
                    }
                    (TypeRef::Func(_) | TypeRef::Memory(_), _) => {}
                    _ => return Err(missing()),
                }
            }
            input.define(&mut self.graph)?;
            if id.index() + 1 == self.inputs.len() {
                self.bind_stack(&mut input);
            }
            self.inputs[id] = Some(input);
        }
        Ok(())
    }

    /// Binds the import that sets the bridge's stack pointer, if the bridge has one.
    fn bind_stack(&self, bridge: &mut LinkInput<'a>) {
        let mut named = bridge.module.global_names.iter();
        let named = named.find(|(_, name)| *name == "__stack_pointer");
        let index = GlobalIndex::from_u32(named.map_or(0, |(index, _)| *index));
        let is_stack = |(ty, _): &&(GlobalType, _)| ty.mutable && ty.content_type == ValType::I32;
        let global = bridge.module.globals.get(index).filter(is_stack);
        let (Some(_), Ok(global)) = (global, bridge.global(index)) else {
            return;
        };
        for (func, (_, import)) in bridge.module.imported_funcs().enumerate() {
            if BridgeImport::of(import.module, import.name) == BridgeImport::StackSet {
                bridge.callees[FuncIndex::new(func)] = Callee::GlobalSet(global);
            }
        }
    }

    /// The instance that an input is. `None` for the bridge.
    fn instance_of(&self, id: InputId) -> Option<InstanceId> {
        let instance = InstanceId::from_u32(id.as_u32());
        self.component
            .instances
            .is_valid(instance)
            .then_some(instance)
    }

    fn finish(mut self) -> Result<Resolved<'a>, AdaptError> {
        let mut exports = Vec::new();
        for name in self.plan.exports.keys() {
            match self.bridge_export(name, 0)? {
                Callee::Func(id) => exports.push((name.clone(), id)),
                _ => {
                    return Err(AdaptError::link(
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
        self.graph.funcs[self.start].code = Code::Body(start.finish());
        let Callee::Func(allocate) = self.bridge_export(ALLOCATE, 0)? else {
            return Err(AdaptError::Internal {
                message: format!("the bridge does not export `{ALLOCATE}`"),
            });
        };
        Ok(Resolved {
            graph: self.graph,
            inputs: self.inputs,
            exports,
            guarded: self.guarded,
            prologue: Prologue {
                state: self.state,
                allocate,
            },
        })
    }
}
