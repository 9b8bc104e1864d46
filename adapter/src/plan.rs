//! The pass that decides what each import is bound to. The plan is plain data, which can be printed and tested.
//!
//! Nothing is decided after this pass: `link` only carries out the plan, and drops the code that is never called.

mod memory;
mod preview1;
mod reachability;

use crate::bridge::{Bridge, PREVIEW1};
use crate::classify::{self, Classes, Import};
use crate::component::{Component, Def, Item, Lift, Lowering, Modules, ResourceRef};
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::ids::{FuncIndex, ImportIndex, InstanceId, LoweringId};
use crate::proxy_wasm::ALWAYS_EXPORTED;
use crate::shim::Shims;
use crate::types::{FuncTy, Signature};
use cranelift_entity::{EntityRef, PrimaryMap};
use memory::{ADAPTER_REALLOC, Reallocs};
use reachability::Reachability;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use wasmparser::ExternalKind;

/// What each import is bound to, what runs at the start, and what is exported.
#[derive(Debug)]
pub struct Plan {
    /// For each lowered import, what it is bound to.
    pub bindings: PrimaryMap<LoweringId, Binding>,
    /// The lowered imports that are called from used instances. The others serve only an adapter that is bypassed.
    pub used: BTreeSet<LoweringId>,
    /// For each imported resource whose handles the component drops, the export of the bridge that is called to drop
    /// one. Dropping a handle of any other imported resource does nothing.
    pub drops: BTreeMap<ResourceRef, String>,
    /// wit-component's shims, and the functions that they call.
    pub shims: Shims,
    /// The guest's functions that the bridge may call, by the bridge's names.
    pub guest: BTreeMap<String, Lift>,
    /// The guest's destructors, by the bridge's names.
    pub dtors: BTreeMap<String, Def>,
    /// The functions that allocate memory in the guest.
    pub reallocs: Reallocs,
    /// The component's start code, in instantiation order.
    pub starts: Vec<Start>,
    /// The bridge's exports that the module will have, with the guest's functions that each may call.
    pub exports: BTreeMap<String, BTreeSet<String>>,
    /// The bridge's exports that the module will not have, with the guest's callbacks that each would deliver.
    pub left_out: BTreeMap<String, BTreeSet<String>>,
    /// Imports of WASI preview 1 that the bridge serves, bypassing the component's own adapter: names of functions, by
    /// the importing instance and the import.
    pub preview1: BTreeMap<(InstanceId, ImportIndex), String>,
    /// Exports of the component that no proxy calls. They are left out, together with what only they reach.
    pub ignored: Vec<String>,
}

/// What a lowered import is bound to.
#[derive(Debug)]
pub enum Binding {
    /// An export of the bridge.
    Bridge {
        /// Its name.
        export: String,
        /// Whether it implements a function of WASI.
        wasi: bool,
        /// Its core type.
        signature: Signature,
    },
    /// A stub, which the linker makes and which refuses the call.
    Stub {
        /// The function that it replaces, in the bridge's naming scheme.
        function: String,
        /// The type of that function in WIT, which determines what the stub returns.
        ty: Box<FuncTy>,
        /// Its core type.
        signature: Signature,
    },
}

/// A function that runs when the component is instantiated.
#[derive(Debug)]
pub struct Start {
    /// Its name in the plan's text.
    pub name: String,
    /// The function.
    pub func: Def,
}

/// Makes the plan.
pub fn plan(
    component: &Component<'_>,
    modules: &Modules<'_>,
    classes: Classes,
    contract: &Contract,
    bridge: &Bridge<'_>,
) -> Result<Plan, AdaptError> {
    let bindings = component.lowerings.values().zip(classes.imports.values());
    let bindings = bindings.map(|(lowering, import)| bind(lowering, import));
    let dtors = component.resources.values().filter_map(|resource| {
        let name = resource.name.as_ref()?;
        let interface = contract.short(&name.interface)?;
        let dtor = resource.dtor.clone()?;
        Some((Bridge::export_name(interface, &name.item), dtor))
    });
    let dtors: BTreeMap<_, _> = dtors.collect();
    let (exports, left_out) = exports(&classes, bridge)?;

    let shims = Shims::find(component, modules);
    let preview1 = preview1::served(component, modules, &classes, &shims, bridge);
    let mut reached = Reachability::new(component, &shims, &preview1);
    for lift in classes.exports.values() {
        lift.defs().for_each(|def| reached.follow(def));
    }
    dtors.values().for_each(|dtor| reached.follow(dtor));
    let starts = starts(component, modules, &preview1, &mut reached)?;
    let used = std::mem::take(&mut reached.lowerings);
    let reallocs = memory::reallocs(component, modules, &classes, &used)?;
    Ok(Plan {
        bindings: bindings.collect(),
        drops: drops(component, &reached.instances, contract, bridge),
        ignored: classes.ignored,
        guest: classes.exports,
        dtors,
        reallocs,
        starts,
        exports,
        left_out,
        used,
        shims,
        preview1,
    })
}

/// Exports of the bridge, each with functions of the guest.
type Exports = BTreeMap<String, BTreeSet<String>>;

/// Returns the bridge's exports that the module will have, and those that it will not have. A callback of the proxy is
/// exported if the component has one of the callbacks that it delivers.
fn exports(classes: &Classes, bridge: &Bridge<'_>) -> Result<(Exports, Exports), AdaptError> {
    let (mut exports, mut left_out) = (Exports::new(), Exports::new());
    for name in ALWAYS_EXPORTED {
        if !bridge.exports.contains_key(*name) {
            return Err(AdaptError::Internal {
                message: format!("the bridge does not export `{name}`"),
            });
        }
        exports.insert((*name).to_owned(), BTreeSet::new());
    }
    for (name, callback) in &bridge.callbacks {
        let is_there = |function: &&String| classes.exports.contains_key(*function);
        if ALWAYS_EXPORTED.contains(&name.as_str())
            || callback.delivers.iter().any(|it| is_there(&it))
        {
            let calls = callback.calls.iter().filter(is_there).cloned();
            exports.insert(name.clone(), calls.collect());
        } else {
            left_out.insert(name.clone(), callback.delivers.clone());
        }
    }
    Ok((exports, left_out))
}

/// Returns the start code of the used instances. An adapter that is bypassed needs none, unless another of its
/// functions is called.
fn starts(
    component: &Component<'_>,
    modules: &Modules<'_>,
    preview1: &BTreeMap<(InstanceId, ImportIndex), String>,
    reached: &mut Reachability<'_, '_>,
) -> Result<Vec<Start>, AdaptError> {
    let shims = reached.shims();
    let served = preview1.keys().filter_map(|(instance, import)| {
        shims.resolve(&component.instances[*instance].imports[*import])
    });
    let bypassed: BTreeSet<InstanceId> = served.map(|(instance, _)| instance).collect();
    let mut starts = BTreeMap::new();
    for (id, instance) in component.instances.iter() {
        let module = &modules[instance.module];
        let Some(start) = module.start else {
            continue;
        };
        let func = if shims.gone.contains(&id) {
            // Fixups define no function: their start function is imported.
            let import = module.import_of_func(start);
            let def = import.and_then(|import| instance.imports.get(import));
            def.cloned().ok_or_else(|| AdaptError::Internal {
                message: format!(
                    "the start function of core module {} is unknown",
                    instance.module.index()
                ),
            })?
        } else {
            Def::Item {
                instance: id,
                item: Item::Func(start),
            }
        };
        if !bypassed.contains(&id) {
            reached.follow(&func);
        }
        let name = name_of(component, modules, &func);
        starts.insert(id, Start { name, func });
    }
    // Start code may reach an adapter that seemed to be bypassed, and then that adapter's start code is needed too.
    loop {
        let before = reached.instances.len();
        for (id, start) in &starts {
            if reached.instances.contains(id) {
                reached.follow(&start.func);
            }
        }
        if reached.instances.len() == before {
            break;
        }
    }
    let takes_part = |id: &InstanceId| !bypassed.contains(id) || reached.instances.contains(id);
    let starts = starts.into_iter().filter(|(id, _)| takes_part(id));
    Ok(starts.map(|(_, start)| start).collect())
}

/// Names `func`, or the function that it imports, by its export and core module, such as `_initialize of core module
/// 0`.
fn name_of(component: &Component<'_>, modules: &Modules<'_>, func: &Def) -> String {
    let mut func = func;
    // Start code may be an import of a module that does nothing else. A chain of such imports is no longer than the
    // number of instances.
    for _ in 0..=component.instances.len() {
        let Def::Item {
            instance,
            item: Item::Func(index),
        } = func
        else {
            break;
        };
        let instance = &component.instances[*instance];
        let module = &modules[instance.module];
        let import = module.import_of_func(*index);
        match import.and_then(|import| instance.imports.get(import)) {
            Some(import) => func = import,
            None => {
                let exports = module.exports.iter();
                let mut exports = exports.filter(|export| {
                    export.kind == ExternalKind::Func && FuncIndex::from_u32(export.index) == *index
                });
                let name = exports.next().map_or("start section", |export| export.name);
                return format!("{name} of core module {}", instance.module.index());
            }
        }
    }
    "start section".to_owned()
}

/// Returns the exports of the bridge that are called when handles to imported resources are dropped.
fn drops(
    component: &Component<'_>,
    instances: &BTreeSet<InstanceId>,
    contract: &Contract,
    bridge: &Bridge<'_>,
) -> BTreeMap<ResourceRef, String> {
    let instances = instances.iter().map(|id| &component.instances[*id]);
    let imports = instances.flat_map(|it| it.imports.values());
    let drops = imports.filter_map(|def| match def {
        Def::ResourceDrop(resource) => {
            let export = classify::drop_name(resource, contract)?;
            let is_there = bridge.exports.contains_key(&export);
            is_there.then(|| (resource.clone(), export))
        }
        _ => None,
    });
    drops.collect()
}

fn bind(lowering: &Lowering, import: &Import) -> Binding {
    let signature = lowering.signature.clone();
    match import {
        Import::Hostcall(export) => Binding::Bridge {
            export: export.clone(),
            wasi: false,
            signature,
        },
        Import::Wasi(export) => Binding::Bridge {
            export: export.clone(),
            wasi: true,
            signature,
        },
        Import::Refused(function) => Binding::Stub {
            function: function.clone(),
            ty: Box::new(lowering.ty.clone()),
            signature,
        },
    }
}

// === impl Plan ===

impl Plan {
    /// Returns the bindings of the lowered imports that are called.
    pub fn used_bindings(&self) -> impl Iterator<Item = &Binding> {
        self.used.iter().map(|id| &self.bindings[*id])
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hostcalls")?;
        for binding in self.used_bindings() {
            if let Binding::Bridge {
                export,
                wasi: false,
                signature,
            } = binding
            {
                writeln!(f, "  {export} {signature}")?;
            }
        }
        writeln!(f, "wasi")?;
        for binding in self.used_bindings() {
            match binding {
                Binding::Bridge {
                    export,
                    wasi: true,
                    signature,
                } => writeln!(f, "  {export} {signature}")?,
                Binding::Stub {
                    function,
                    signature,
                    ..
                } => writeln!(f, "  {function} {signature} refused")?,
                Binding::Bridge { wasi: false, .. } => {}
            }
        }
        for function in self.preview1.values().collect::<BTreeSet<_>>() {
            writeln!(f, "  {PREVIEW1}#{function}")?;
        }
        writeln!(f, "start")?;
        for start in &self.starts {
            writeln!(f, "  {}", start.name)?;
        }
        writeln!(f, "memory")?;
        if self.reallocs.keeps_apart {
            writeln!(f, "  kept by the bridge: {ADAPTER_REALLOC}")?;
        }
        if self.reallocs.is_split {
            writeln!(f, "  results and arguments apart")?;
        }
        if self.reallocs.imports.len() > 1 {
            let count = self.reallocs.imports.len();
            writeln!(f, "  results from {count} allocators")?;
        }
        writeln!(f, "resources")?;
        for export in self.drops.values() {
            writeln!(f, "  {export}")?;
        }
        for name in self.dtors.keys() {
            writeln!(f, "  {name} has a destructor")?;
        }
        writeln!(f, "exports")?;
        for (name, calls) in &self.exports {
            writeln!(f, "  {name}")?;
            for call in calls {
                let lift = self.guest.get(call);
                let remark = match lift.is_some_and(|lift| lift.post_return.is_some()) {
                    true => " and its post-return",
                    false => "",
                };
                writeln!(f, "    {call}{remark}")?;
            }
        }
        writeln!(f, "left out")?;
        for (name, absent) in &self.left_out {
            let absent: Vec<&str> = absent.iter().map(String::as_str).collect();
            writeln!(f, "  {name}: {} is not exported", absent.join(" or "))?;
        }
        for name in &self.ignored {
            writeln!(f, "  {name}: no proxy calls it")?;
        }
        Ok(())
    }
}
