//! Which of a component's instances take part, and so which of its imports are called at all.
//!
//! A main module that was built for WASI's first preview brings an adapter for the second one. Where the bridge serves
//! the first preview itself, the adapter is not called, and what it imports says nothing about the plugin.

use crate::component::{Component, Def, Item};
use crate::shim::Shims;
use std::collections::{BTreeMap, BTreeSet};

/// What is found by following definitions from where the bridge enters the component.
pub struct Live<'c, 'a> {
    component: &'c Component<'a>,
    shims: &'c Shims,
    preview1: &'c BTreeMap<(usize, usize), String>,
    instances: BTreeSet<usize>,
    lowerings: BTreeSet<usize>,
    left: Vec<Def>,
}

// === impl Live ===

impl<'c, 'a> Live<'c, 'a> {
    /// Begins with nothing.
    pub fn new(
        component: &'c Component<'a>,
        shims: &'c Shims,
        preview1: &'c BTreeMap<(usize, usize), String>,
    ) -> Live<'c, 'a> {
        Live {
            component,
            shims,
            preview1,
            instances: BTreeSet::new(),
            lowerings: BTreeSet::new(),
            left: Vec::new(),
        }
    }

    /// Follows `defs`, and says which lowered imports are called.
    pub fn follow(mut self, defs: impl IntoIterator<Item = Def>) -> BTreeSet<usize> {
        self.left.extend(defs);
        let mut seen_targets = BTreeSet::new();
        while let Some(def) = self.left.pop() {
            match def {
                Def::Item { instance, item } => match self.target(instance, item) {
                    Some(target) if seen_targets.insert((instance, item)) => self.left.push(target),
                    Some(_) => {}
                    None => self.instance(instance),
                },
                Def::Lowered(index) => {
                    self.lowerings.insert(index);
                }
                // The destructors of resources are followed on their own.
                Def::ResourceNew(_) | Def::ResourceRep(_) | Def::ResourceDrop(_) => {}
            }
        }
        self.lowerings
    }

    fn target(&self, instance: usize, item: Item) -> Option<Def> {
        match item {
            Item::Func(func) => self.shims.target(instance, func).cloned(),
            Item::Table(_) | Item::Memory(_) | Item::Global(_) => None,
        }
    }

    fn instance(&mut self, number: usize) {
        if self.shims.gone.contains(&number) || !self.instances.insert(number) {
            return;
        }
        let Some(instance) = self.component.instances.get(number) else {
            return;
        };
        for (position, def) in instance.imports.iter().enumerate() {
            if !self.preview1.contains_key(&(number, position)) {
                self.left.push(def.clone());
            }
        }
    }
}
