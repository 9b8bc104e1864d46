//! A component taken apart: the small intermediate representation (IR) that every pass after `parse` works on.
//!
//! It is plain data and independent of the library that takes the component apart, so that library can be replaced. It
//! does not describe what a name means to a proxy; `classify` determines that.

use crate::error::AdaptError;
use crate::module::Module;
use crate::name::Name;
use crate::types::{FuncTy, Signature};
use std::collections::BTreeMap;

/// A component with its nested instances flattened into a list of core instances.
#[derive(Debug)]
pub struct Component<'a> {
    /// The core modules, each as its own bytes.
    pub modules: Vec<&'a [u8]>,
    /// Core instances, in the order in which they are instantiated.
    pub instances: Vec<Instance>,
    /// Imports that core code calls, each with the canonical options of its call.
    pub lowerings: Vec<Lowering>,
    /// The component's imported interfaces and what is in them, by full name.
    pub imports: BTreeMap<String, Interface>,
    /// The component's exported interfaces and what is in them, by full name.
    pub exports: BTreeMap<String, Interface>,
    /// Resources that the component defines itself.
    pub resources: Vec<Resource>,
}

/// One core module, instantiated.
#[derive(Debug)]
pub struct Instance {
    /// Index into [`Component::modules`].
    pub module: usize,
    /// What each of its imports is bound to, in the order of its import section.
    pub imports: Vec<Def>,
}

/// Where a core item comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Def {
    /// From an earlier instance, by an index in its module's index spaces.
    Item {
        /// Index into [`Component::instances`].
        instance: usize,
        /// The item in that instance.
        item: Item,
    },
    /// A lowered import, as an index into [`Component::lowerings`].
    Lowered(usize),
    /// `resource.new`, of a resource that the component defines.
    ResourceNew(usize),
    /// `resource.rep`, of a resource that the component defines.
    ResourceRep(usize),
    /// `resource.drop`.
    ResourceDrop(ResourceRef),
    /// A canonical built-in for asynchronous functions, by its name.
    Async(String),
}

/// An item in a core module's index spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A function.
    Func(u32),
    /// A table.
    Table(u32),
    /// A linear memory.
    Memory(u32),
    /// A global.
    Global(u32),
}

/// A resource as seen from inside the component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceRef {
    /// One that the component defines, as an index into [`Component::resources`].
    Defined(usize),
    /// One that is imported.
    Imported(Name),
}

/// An imported function, lowered to a core function.
#[derive(Debug)]
pub struct Lowering {
    /// The name of the imported function.
    pub name: Name,
    /// Its type in WIT.
    pub ty: FuncTy,
    /// The type of the core function.
    pub signature: Signature,
    /// The function that allocates memory for its result.
    pub realloc: Option<Def>,
    /// Why it cannot be called from an adapted module, if it cannot.
    pub obstacle: Option<Obstacle>,
}

/// Why a function cannot be lifted or lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// It is asynchronous.
    Async,
    /// It passes strings in this encoding.
    Strings(&'static str),
}

/// An interface that the component imports or exports.
#[derive(Debug, Default)]
pub struct Interface {
    /// Its functions, by name.
    pub functions: BTreeMap<String, Function>,
}

/// A function of an interface.
#[derive(Debug)]
pub struct Function {
    /// Its type in WIT.
    pub ty: FuncTy,
    /// If it is exported, the core functions that implement it.
    pub lift: Option<Lift>,
}

/// The core functions that implement an exported function.
#[derive(Debug, Clone)]
pub struct Lift {
    /// The core function that is called.
    pub func: Def,
    /// The post-return: what is called with the core result once the result has been read.
    pub post_return: Option<Def>,
    /// The function that allocates memory for the arguments.
    pub realloc: Option<Def>,
    /// Why it cannot be called from an adapted module, if it cannot.
    pub obstacle: Option<Obstacle>,
}

/// A resource that the component defines.
#[derive(Debug)]
pub struct Resource {
    /// The name under which it is first exported, if it is exported.
    pub name: Option<Name>,
    /// Its destructor.
    pub dtor: Option<Def>,
}

// === impl Obstacle ===

impl Obstacle {
    /// The error for a function that has this obstacle.
    pub fn error(self, function: &Name) -> AdaptError {
        let (interface, function) = (function.interface.clone(), function.item.clone());
        match self {
            Obstacle::Async => AdaptError::Async {
                interface,
                function,
            },
            Obstacle::Strings(encoding) => AdaptError::StringEncoding {
                interface,
                function,
                encoding,
            },
        }
    }
}

// === impl Component ===

impl<'a> Component<'a> {
    /// Reads the core modules.
    pub fn read_modules(&self) -> Result<Vec<Module<'a>>, AdaptError> {
        let modules = self.modules.iter().enumerate().map(|(number, bytes)| {
            let unreadable = |error: wasmparser::Error| AdaptError::Link {
                module: number.to_string(),
                message: error.to_string(),
            };
            Module::read(bytes).map_err(unreadable)
        });
        modules.collect()
    }

    /// How many memories its instances define.
    pub fn memories(&self, modules: &[Module<'_>]) -> usize {
        let instantiated = self
            .instances
            .iter()
            .filter_map(|instance| modules.get(instance.module));
        instantiated
            .map(|module| module.memories.len() - module.imported.memories)
            .sum()
    }
}
