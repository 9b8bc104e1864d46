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
    /// What allocates in the guest.
    pub realloc: Option<Def>,
    /// The bridge's exports that the module will have, with the guest's functions that each reaches.
    pub exports: BTreeMap<String, BTreeSet<String>>,
    /// The bridge's exports that it will not have, each with a guest's function that is not there.
    pub left_out: BTreeMap<String, String>,
    /// Functions of WASI's first preview that a core module imports and the bridge provides.
    pub preview1: BTreeSet<String>,
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

    let preview1 = preview1(component, modules, bridge);
    let shims = Shims::find(component, modules);
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
            .chain(starts);
        Live::new(component, modules, &shims, &preview1).follow(entries)
    };

    Ok(Plan {
        used,
        shims,
        feeds: feeds
            .map(|(lowering, import)| feed(lowering, import))
            .collect(),
        guest: classes.exports,
        dtors,
        realloc,
        exports,
        left_out,
        preview1,
    })
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

/// The functions of WASI's first preview that are bound to the bridge, past the component's own adapter.
fn preview1(
    component: &Component<'_>,
    modules: &[Module<'_>],
    bridge: &Bridge<'_>,
) -> BTreeSet<String> {
    let mut bypassed = BTreeSet::new();
    for instance in &component.instances {
        let Some(module) = modules.get(instance.module) else {
            continue;
        };
        for import in module
            .imports
            .iter()
            .filter(|import| import.module == PREVIEW1)
        {
            let TypeRef::Func(ty) = import.ty else {
                continue;
            };
            let found = module.types.get(ty as usize).map(Signature::from);
            let provided = bridge
                .exports
                .get(&Bridge::export_name(PREVIEW1, import.name));
            if found.is_some() && found.as_ref() == provided {
                bypassed.insert(import.name.to_owned());
            }
        }
    }
    bypassed
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
        for function in &self.preview1 {
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
        writeln!(f, "left out")?;
        for (name, absent) in &self.left_out {
            writeln!(f, "  {name}: {absent} is not exported")?;
        }
        Ok(())
    }
}
