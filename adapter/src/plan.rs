//! The pass that decides what is linked to what, as plain data that can be read and tested.
//!
//! Nothing is decided after it: `link` only carries it out.

mod live;

use crate::bridge::{ALWAYS, Bridge, PREVIEW1};
use crate::classify::{Classes, Import};
use crate::component::{Component, Def, Item, Lift, Lowering};
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::module::Module;
use crate::shim::Shims;
use crate::types::{FuncTy, Signature};
use live::Live;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use wasmparser::TypeRef;

/// What a main module calls the allocator that is meant for the adapters beside it.
const ADAPTER_REALLOC: &str = "cabi_realloc_adapter";

/// What is linked to what.
#[derive(Debug)]
pub struct Plan {
    /// For each lowered import, what feeds it.
    pub feeds: Vec<Feed>,
    /// The lowered imports that are called from instances that take part; others serve a bypassed adapter only.
    pub used: BTreeSet<usize>,
    /// What wit-component's shims stand for.
    pub shims: Shims,
    /// The guest's functions that the bridge may call, by the bridge's name.
    pub guest: BTreeMap<String, Lift>,
    /// The guest's destructors, by the bridge's name.
    pub dtors: BTreeMap<String, Def>,
    /// What allocates in the guest what the guest will own.
    pub realloc: Option<Def>,
    /// What allocates in the guest what the bridge will own.
    pub keep: Option<Def>,
    /// The bridge's exports that the module will have, with the guest's functions that each reaches.
    pub exports: BTreeMap<String, BTreeSet<String>>,
    /// The bridge's exports that it will not have, each with a guest's function that is not there.
    pub left_out: BTreeMap<String, String>,
    /// Imports of WASI's first preview that the bridge provides past the component's own adapter: names of functions, by
    /// the instance that imports them and the place among its imports.
    pub preview1: BTreeMap<(usize, usize), String>,
}

/// What feeds a lowered import.
#[derive(Debug)]
pub enum Feed {
    /// An export of the bridge.
    Bridge {
        /// Its name.
        export: String,
        /// Whether it stands for a function of WASI.
        wasi: bool,
        /// Its type.
        signature: Signature,
    },
    /// A function that the linker makes: it refuses.
    Refusal {
        /// What it refuses, by the bridge's naming.
        function: String,
        /// The type of the refused function in WIT, which says what a refusal looks like.
        ty: Box<FuncTy>,
        /// Its type.
        signature: Signature,
    },
}

/// Decides what is linked to what.
pub fn plan(
    component: &Component<'_>,
    modules: &[Module<'_>],
    classes: Classes,
    contract: &Contract,
    bridge: &Bridge<'_>,
) -> Result<Plan, AdaptError> {
    let feeds = component.lowerings.iter().zip(&classes.imports);
    let dtors = component.resources.iter().filter_map(|resource| {
        let name = resource.name.as_ref()?;
        let interface = contract.short(&name.interface)?;
        let dtor = resource.dtor.clone()?;
        Some((
            Bridge::export_name(interface, &format!("[dtor]{}", name.item)),
            dtor,
        ))
    });
    let dtors: BTreeMap<_, _> = dtors.collect();
    let realloc = classes
        .exports
        .values()
        .find_map(|lift| lift.realloc.clone());

    let mut exports = BTreeMap::new();
    let mut left_out = BTreeMap::new();
    for (name, needs) in &bridge.callbacks {
        let is_absent =
            |need: &&String| !need.contains("#[dtor]") && !classes.exports.contains_key(*need);
        match needs.iter().find(is_absent) {
            None => {
                exports.insert(name.clone(), needs.clone());
            }
            Some(absent) => {
                left_out.insert(name.clone(), absent.clone());
            }
        }
    }
    for name in ALWAYS {
        if let Some(absent) = left_out.get(*name) {
            // Cannot happen with a bridge that keeps its contract: what these need, `classify` has made sure of.
            return Err(AdaptError::Link {
                module: "of the bridge".to_owned(),
                message: format!("`{name}` needs `{absent}`, which the component does not export"),
            });
        }
        exports.entry((*name).to_owned()).or_default();
    }

    let keep = keep(component, modules, realloc.as_ref());
    let shims = Shims::find(component, modules);
    let preview1 = preview1(component, modules, &classes, &shims, bridge);
    let used = {
        let lifts = classes.exports.values();
        let lifted = lifts.flat_map(|lift| {
            [
                Some(&lift.func),
                lift.post_return.as_ref(),
                lift.realloc.as_ref(),
            ]
        });
        let starts = component
            .instances
            .iter()
            .enumerate()
            .filter_map(|(number, instance)| {
                let start = modules.get(instance.module)?.start?;
                Some(Def::Item {
                    instance: number,
                    item: Item::Func(start),
                })
            });
        let entries = lifted
            .flatten()
            .cloned()
            .chain(dtors.values().cloned())
            .chain(keep.clone())
            .chain(starts);
        Live::new(component, &shims, &preview1).follow(entries)
    };

    check_reallocs(component, &classes, &used, realloc.as_ref())?;
    Ok(Plan {
        used,
        shims,
        feeds: feeds
            .map(|(lowering, import)| feed(lowering, import))
            .collect(),
        guest: classes.exports,
        dtors,
        keep,
        realloc,
        exports,
        left_out,
        preview1,
    })
}

/// What allocates memory that the bridge keeps.
///
/// ComponentizeJS frees at the end of a call whatever its `cabi_realloc` gave in it. Beside that it has another one for
/// adapters that are linked in, as the bridge is, which wit-component gives to them, and which forgets what it gave.
fn keep(component: &Component<'_>, modules: &[Module<'_>], realloc: Option<&Def>) -> Option<Def> {
    let realloc = realloc?;
    let for_adapters = || {
        let Def::Item {
            instance,
            item: Item::Func(usual),
        } = realloc
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
    };
    for_adapters().or_else(|| Some(realloc.clone()))
}

fn feed(lowering: &Lowering, import: &Import) -> Feed {
    let signature = lowering.signature.clone();
    match import {
        Import::Hostcall(export) => Feed::Bridge {
            export: export.clone(),
            wasi: false,
            signature,
        },
        Import::Wasi(export) => Feed::Bridge {
            export: export.clone(),
            wasi: true,
            signature,
        },
        Import::Refused(function) => Feed::Refusal {
            function: function.clone(),
            ty: Box::new(lowering.ty.clone()),
            signature,
        },
    }
}

/// The bridge allocates by one function, whichever call it is for.
fn check_reallocs(
    component: &Component<'_>,
    classes: &Classes,
    used: &BTreeSet<usize>,
    realloc: Option<&Def>,
) -> Result<(), AdaptError> {
    let imports = used
        .iter()
        .filter_map(|index| component.lowerings.get(*index));
    for import in imports {
        if import.realloc.is_some() && import.realloc.as_ref() != realloc {
            return Err(AdaptError::unsupported(
                "imports",
                &import.name,
                "wants its results allocated by another function than the plugin's exports their arguments",
                "build it with one `cabi_realloc` for all",
            ));
        }
    }
    for (function, lift) in &classes.exports {
        if lift.realloc.is_some() && lift.realloc.as_ref() != realloc {
            return Err(AdaptError::unsupported(
                "exports",
                &Bridge::function_name(function),
                "wants its arguments allocated by another function than other exports",
                "build it with one `cabi_realloc` for all",
            ));
        }
    }
    Ok(())
}

/// The imports of WASI's first preview that are bound to the bridge, past the component's own adapter.
///
/// An adapter it is if it calls WASI 0.2. Something else that goes by the name has a meaning of its own.
fn preview1(
    component: &Component<'_>,
    modules: &[Module<'_>],
    classes: &Classes,
    shims: &Shims,
    bridge: &Bridge<'_>,
) -> BTreeMap<(usize, usize), String> {
    let mut bypassed = BTreeMap::new();
    for (number, instance) in component.instances.iter().enumerate() {
        let Some(module) = modules.get(instance.module) else {
            continue;
        };
        for (position, (import, def)) in module.imports.iter().zip(&instance.imports).enumerate() {
            let TypeRef::Func(ty) = import.ty else {
                continue;
            };
            if import.module != PREVIEW1 {
                continue;
            }
            let found = module.types.get(ty as usize).map(Signature::from);
            let provided = bridge
                .exports
                .get(&Bridge::export_name(PREVIEW1, import.name));
            if found.is_some()
                && found.as_ref() == provided
                && calls_wasi(component, classes, shims, number, def)
            {
                bypassed.insert((number, position), import.name.to_owned());
            }
        }
    }
    bypassed
}

/// Whether the instance that has `def` calls WASI 0.2, itself or through others than the one that `asks`.
fn calls_wasi(
    component: &Component<'_>,
    classes: &Classes,
    shims: &Shims,
    asks: usize,
    def: &Def,
) -> bool {
    let mut seen = BTreeSet::from([asks]);
    let mut seen_shims = BTreeSet::new();
    let mut left = vec![def];
    while let Some(def) = left.pop() {
        match def {
            Def::Lowered(index) => match classes.imports.get(*index) {
                Some(Import::Wasi(_) | Import::Refused(_)) => return true,
                Some(Import::Hostcall(_)) | None => {}
            },
            Def::Item {
                instance,
                item: Item::Func(func),
            } => match shims.target(*instance, *func) {
                Some(target) if seen_shims.insert((*instance, *func)) => left.push(target),
                Some(_) => {}
                None if seen.insert(*instance) => {
                    let instance = component.instances.get(*instance);
                    left.extend(instance.into_iter().flat_map(|it| &it.imports));
                }
                None => {}
            },
            Def::Item { .. } | Def::ResourceNew(_) | Def::ResourceRep(_) | Def::ResourceDrop(_) => {
            }
        }
    }
    false
}

// === impl Plan ===

impl Plan {
    /// What feeds the lowered imports that are called.
    pub fn used_feeds(&self) -> impl Iterator<Item = &Feed> {
        self.used.iter().filter_map(|index| self.feeds.get(*index))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hostcalls")?;
        for feed in self.used_feeds() {
            if let Feed::Bridge {
                export,
                wasi: false,
                signature,
            } = feed
            {
                writeln!(f, "  {export} {signature}")?;
            }
        }
        writeln!(f, "wasi")?;
        for feed in self.used_feeds() {
            match feed {
                Feed::Bridge {
                    export,
                    wasi: true,
                    signature,
                } => writeln!(f, "  {export} {signature}")?,
                Feed::Refusal {
                    function,
                    signature,
                    ..
                } => writeln!(f, "  {function} {signature} refused")?,
                Feed::Bridge { wasi: false, .. } => {}
            }
        }
        for function in self.preview1.values().collect::<BTreeSet<_>>() {
            writeln!(f, "  {PREVIEW1}#{function}")?;
        }
        writeln!(f, "exports")?;
        for (name, needs) in &self.exports {
            writeln!(f, "  {name}")?;
            for need in needs {
                let remark = match (self.guest.get(need), self.dtors.contains_key(need)) {
                    (Some(lift), _) if lift.post_return.is_some() => " and its post-return",
                    (Some(_), _) | (None, true) => "",
                    (None, false) => ", which the component does not have",
                };
                writeln!(f, "    {need}{remark}")?;
            }
        }
        if self.keep != self.realloc {
            writeln!(f, "kept memory\n  {ADAPTER_REALLOC}")?;
        }
        writeln!(f, "left out")?;
        for (name, absent) in &self.left_out {
            writeln!(f, "  {name}: {absent} is not exported")?;
        }
        Ok(())
    }
}
