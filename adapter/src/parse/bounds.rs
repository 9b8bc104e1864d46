//! Bounds how large a component becomes when all its nested components are instantiated. The size is computed without
//! instantiating them.
//!
//! A file of a few hundred bytes can contain components that instantiate each other ten times over, ten levels deep.
//! The translator that takes a component apart follows every instantiation, so such a file is rejected before it runs.

use crate::error::AdaptError;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Parser, Payload,
};

/// The maximum number of instances. It is far above what any tool makes of one plugin: componentize-py makes a few
/// dozen.
const MAX_INSTANCES: u64 = 1_000;
/// The maximum number of functions, types and other items of all core instances together. SpiderMonkey has some tens of
/// thousands.
const MAX_ITEMS: u64 = 2_000_000;

/// The size of a module or component once it is instantiated.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    instances: u64,
    items: u64,
}

/// A module or component that is being read.
#[derive(Default)]
struct Open {
    is_module: bool,
    cost: Cost,
    /// Its index spaces of core modules and of components.
    modules: Vec<Cost>,
    components: Vec<Cost>,
}

/// Rejects a valid component that would exceed the bounds.
pub fn check(bytes: &[u8]) -> Result<(), AdaptError> {
    let mut open: Vec<Open> = Vec::new();
    // The largest module and the largest component so far. What an instance exports has been read before, so it is no
    // larger than that.
    let mut largest = [Cost::default(); 2];
    let mut is_module = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let depth = open.len();
        match payload {
            Payload::Version { .. } => open.push(Open {
                is_module,
                ..Open::default()
            }),
            Payload::ModuleSection { .. } => is_module = true,
            Payload::ComponentSection { .. } => is_module = false,
            Payload::End(_) => {
                let Some(closed) = open.pop() else { break };
                let cost = Cost {
                    instances: closed.cost.instances.saturating_add(1),
                    ..closed.cost
                };
                let [module, component] = &mut largest;
                let (largest, outer) = match (closed.is_module, open.last_mut()) {
                    (true, outer) => (module, outer.map(|outer| &mut outer.modules)),
                    (false, outer) => (component, outer.map(|outer| &mut outer.components)),
                };
                *largest = largest.max(cost);
                match outer {
                    Some(outer) => outer.push(cost),
                    None => return cost.check(),
                }
            }
            payload => {
                let Some(top) = open.last_mut() else { break };
                if top.is_module {
                    top.cost.items = top.cost.items.saturating_add(items(&payload));
                } else if let Payload::ComponentAliasSection(section) = payload {
                    for alias in section.into_iter().map_while(Result::ok) {
                        alias_of(&alias, &mut open, largest);
                    }
                } else {
                    top.section(payload, depth);
                }
            }
        }
    }
    Ok(())
}

/// The number of items that a section of a core module declares.
fn items(payload: &Payload<'_>) -> u64 {
    let count = match payload {
        Payload::TypeSection(section) => section.count(),
        Payload::ImportSection(section) => section.count(),
        Payload::FunctionSection(section) => section.count(),
        Payload::TableSection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::ExportSection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::DataSection(section) => section.count(),
        _ => 0,
    };
    count.into()
}

/// Enters the target of an alias into the index spaces, if it can be instantiated.
fn alias_of(alias: &ComponentAlias<'_>, open: &mut [Open], [module, component]: [Cost; 2]) {
    let found = match alias {
        ComponentAlias::InstanceExport { kind, .. } => match kind {
            ComponentExternalKind::Module => (true, module),
            ComponentExternalKind::Component => (false, component),
            _ => return,
        },
        ComponentAlias::Outer { kind, count, index } => {
            let outer = open.iter().rev().nth(*count as usize);
            let of = |list: fn(&Open) -> &Vec<Cost>| {
                let cost = outer.and_then(|outer| list(outer).get(*index as usize));
                cost.copied().unwrap_or(Cost::TOO_MUCH)
            };
            match kind {
                ComponentOuterAliasKind::CoreModule => (true, of(|outer| &outer.modules)),
                ComponentOuterAliasKind::Component => (false, of(|outer| &outer.components)),
                _ => return,
            }
        }
        ComponentAlias::CoreInstanceExport { .. } => return,
    };
    let Some(top) = open.last_mut() else { return };
    match found {
        (true, cost) => top.modules.push(cost),
        (false, cost) => top.components.push(cost),
    }
}

// === impl Cost ===

impl Cost {
    const TOO_MUCH: Cost = Cost {
        instances: u64::MAX,
        items: u64::MAX,
    };

    fn add(&mut self, other: Option<&Cost>) {
        let other = other.unwrap_or(&Cost::TOO_MUCH);
        self.instances = self.instances.saturating_add(other.instances);
        self.items = self.items.saturating_add(other.items);
    }

    fn max(self, other: Cost) -> Cost {
        Cost {
            instances: self.instances.max(other.instances),
            items: self.items.max(other.items),
        }
    }

    fn check(self) -> Result<(), AdaptError> {
        let what = if self.instances > MAX_INSTANCES {
            "it has more than a thousand instances"
        } else if self.items > MAX_ITEMS {
            "its instances have millions of functions"
        } else {
            return Ok(());
        };
        Err(AdaptError::Composed { what })
    }
}

// === impl Open ===

impl Open {
    /// Reads a section of a component at this nesting depth.
    fn section(&mut self, payload: Payload<'_>, depth: usize) {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.into_iter().map_while(Result::ok) {
                    if let Instance::Instantiate { module_index, .. } = instance {
                        self.cost.add(self.modules.get(module_index as usize));
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.into_iter().map_while(Result::ok) {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance
                    {
                        self.cost.add(self.components.get(component_index as usize));
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.into_iter().map_while(Result::ok) {
                    // The argument may be of any size. The outermost component receives no arguments, and is rejected
                    // later, by the name of the import.
                    let cost = match depth {
                        1 => Cost::default(),
                        _ => Cost::TOO_MUCH,
                    };
                    match import.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(cost),
                        ComponentTypeRef::Component(_) => self.components.push(cost),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.into_iter().map_while(Result::ok) {
                    // An exported item gets a second index.
                    let spaces = match export.kind {
                        ComponentExternalKind::Module => &mut self.modules,
                        ComponentExternalKind::Component => &mut self.components,
                        _ => continue,
                    };
                    let cost = spaces.get(export.index as usize).copied();
                    spaces.push(cost.unwrap_or(Cost::TOO_MUCH));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<String> {
        let bytes = wat::parse_str(text).expect("valid text");
        check(&bytes).err().map(|error| error.to_string())
    }

    #[test]
    fn items_of_repeated_core_instances_are_bounded() {
        let functions = "(func)".repeat(5_000);
        let of = |instances: usize| {
            let instances = "(core instance (instantiate 0))".repeat(instances);
            refusal(&format!(
                "(component (core module {functions}) {instances})"
            ))
        };
        assert_eq!(of(100), None);
        let refusal = of(900).expect("component should exceed the limit");
        assert!(refusal.contains("millions of functions"), "{refusal}");
    }

    #[test]
    fn instances_of_exported_components_are_bounded() {
        let mut text =
            "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..10 {
            let below = level - 1;
            let instances = format!("(instance (instantiate $again{below}))").repeat(10);
            text += &format!(
                "(component $wrap{below} (alias outer 1 $c{below} (component $c)) (export \"c\" (component $c)))
                 (instance $i{below} (instantiate $wrap{below}))
                 (alias export $i{below} \"c\" (component $taken{below}))
                 (component $c{level} (alias outer 1 $taken{below} (component $again{below})) {instances})"
            );
        }
        let refusal = refusal(&format!("(component {text} (instance (instantiate $c9)))"));
        assert!(refusal.is_some_and(|refusal| refusal.contains("more than a thousand instances")));
    }

    #[test]
    fn instantiation_of_an_imported_component_is_rejected() {
        let refusal = refusal(
            "(component
                (component $one (import \"c\" (component $c)) (instance (instantiate $c)))
                (component $none)
                (instance (instantiate $one (with \"c\" (component $none)))))",
        );
        assert!(refusal.is_some());
    }
}
