//! Finds which of a component's instances are used, and therefore which of its imports are called.
//!
//! A main module that was built for WASI preview 1 comes with an adapter for WASI 0.2. If the bridge serves preview 1
//! itself, the adapter is not called, and its imports do not show what the plugin needs.

use crate::component::{Component, Def, Item};
use crate::ids::{ImportIndex, InstanceId, LoweringId};
use crate::shim::Shims;
use std::collections::{BTreeMap, BTreeSet};

/// The instances and the lowered imports that are reached by following definitions.
pub struct Reachability<'c, 'a> {
    component: &'c Component<'a>,
    shims: &'c Shims,
    preview1: &'c BTreeMap<(InstanceId, ImportIndex), String>,
    /// The instances that are reached.
    pub instances: BTreeSet<InstanceId>,
    /// The lowered imports that are reached.
    pub lowerings: BTreeSet<LoweringId>,
    seen: BTreeSet<(InstanceId, Item)>,
}

// === impl Reachability ===

impl<'c, 'a> Reachability<'c, 'a> {
    /// Starts with nothing reached. Imports in `preview1` are not followed.
    pub fn new(
        component: &'c Component<'a>,
        shims: &'c Shims,
        preview1: &'c BTreeMap<(InstanceId, ImportIndex), String>,
    ) -> Reachability<'c, 'a> {
        Reachability {
            component,
            shims,
            preview1,
            instances: BTreeSet::new(),
            lowerings: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    /// The shims through which definitions are followed.
    pub fn shims(&self) -> &'c Shims {
        self.shims
    }

    /// Follows a definition, and marks everything that it reaches.
    pub fn follow(&mut self, def: &Def) {
        let mut left = vec![def.clone()];
        while let Some(def) = left.pop() {
            match def {
                Def::Item { instance, item } => {
                    if !self.seen.insert((instance, item)) {
                        continue;
                    }
                    match self.target(instance, item) {
                        Some(target) => left.push(target),
                        None => self.instance(instance, &mut left),
                    }
                }
                Def::Lowered(id) => {
                    if self.lowerings.insert(id) {
                        left.extend(self.component.lowerings[id].realloc.clone());
                    }
                }
                // The destructors of resources are followed separately.
                Def::ResourceNew(_)
                | Def::ResourceRep(_)
                | Def::ResourceDrop(_)
                | Def::Async(_) => {}
            }
        }
    }

    fn target(&self, instance: InstanceId, item: Item) -> Option<Def> {
        match item {
            Item::Func(func) => self.shims.target(instance, func).cloned(),
            Item::Table(_) | Item::Memory(_) | Item::Global(_) => None,
        }
    }

    fn instance(&mut self, id: InstanceId, left: &mut Vec<Def>) {
        if self.shims.gone.contains(&id) || !self.instances.insert(id) {
            return;
        }
        for (import, def) in self.component.instances[id].imports.iter() {
            if !self.preview1.contains_key(&(id, import)) {
                left.push(def.clone());
            }
        }
    }
}
