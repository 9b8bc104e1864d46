//! A component taken apart: the small intermediate representation (IR) that every pass after `parse` works on.
//!
//! It is plain data and independent of the library that takes the component apart, so that library can be replaced. It
//! does not describe what a name means to a proxy; `classify` determines that.

use crate::error::AdaptError;
use crate::ids::{
    FuncIndex, GlobalIndex, ImportIndex, InstanceId, LoweringId, MemoryIndex, ModuleId, ResourceId,
    TableIndex,
};
use crate::module::{Import, Module};
use crate::name::Name;
use crate::types::{FuncTy, Signature};
use cranelift_entity::{EntityRef, PrimaryMap};
use std::collections::BTreeMap;

/// The core modules of a component, read.
pub type Modules<'a> = PrimaryMap<ModuleId, Module<'a>>;

/// A component with its nested instances flattened into a list of core instances.
///
/// Every identifier in it is an identifier of one of its parts: `parse` has called [`Component::check`].
#[derive(Debug)]
pub struct Component<'a> {
    /// The core modules, each as its own bytes.
    pub modules: PrimaryMap<ModuleId, &'a [u8]>,
    /// Core instances, in the order in which they are instantiated.
    pub instances: PrimaryMap<InstanceId, Instance>,
    /// Imports that core code calls, each with the canonical options of its call.
    pub lowerings: PrimaryMap<LoweringId, Lowering>,
    /// The component's imported interfaces and what is in them, by full name.
    pub imports: BTreeMap<String, Interface>,
    /// The component's exported interfaces and what is in them, by full name.
    pub exports: BTreeMap<String, Interface>,
    /// Resources that the component defines itself.
    pub resources: PrimaryMap<ResourceId, Resource>,
}

/// One core module, instantiated.
#[derive(Debug)]
pub struct Instance {
    /// The module.
    pub module: ModuleId,
    /// What each of its imports is bound to.
    pub imports: PrimaryMap<ImportIndex, Def>,
}

/// Where a core item comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Def {
    /// From an earlier instance, by an index in its module's index spaces.
    Item {
        /// The earlier instance.
        instance: InstanceId,
        /// The item in that instance.
        item: Item,
    },
    /// A lowered import.
    Lowered(LoweringId),
    /// `resource.new`, of a resource that the component defines.
    ResourceNew(ResourceId),
    /// `resource.rep`, of a resource that the component defines.
    ResourceRep(ResourceId),
    /// `resource.drop`.
    ResourceDrop(ResourceRef),
    /// A canonical built-in for asynchronous functions, by its name.
    Async(String),
}

/// An item in a core module's index spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A linear memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
}

/// A resource as seen from inside the component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceRef {
    /// One that the component defines.
    Defined(ResourceId),
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

// === impl Lift ===

impl Lift {
    /// The core functions.
    pub fn defs(&self) -> impl Iterator<Item = &Def> {
        let others = self.post_return.iter().chain(&self.realloc);
        std::iter::once(&self.func).chain(others)
    }
}

// === impl Component ===

impl<'a> Component<'a> {
    /// Reads the core modules.
    pub fn read_modules(&self) -> Result<Modules<'a>, AdaptError> {
        let modules = self.modules.iter().map(|(id, bytes)| {
            let unreadable = |error: wasmparser::Error| AdaptError::Link {
                module: id.index().to_string(),
                message: error.to_string(),
            };
            Module::read(bytes).map_err(unreadable)
        });
        modules.collect()
    }

    /// Checks that every identifier is an identifier of one of the component's parts.
    pub fn check(&self) -> Result<(), AdaptError> {
        let is_known = |def: &Def| match def {
            Def::Item { instance, .. } => self.instances.is_valid(*instance),
            Def::Lowered(id) => self.lowerings.is_valid(*id),
            Def::ResourceNew(id)
            | Def::ResourceRep(id)
            | Def::ResourceDrop(ResourceRef::Defined(id)) => self.resources.is_valid(*id),
            Def::ResourceDrop(ResourceRef::Imported(_)) | Def::Async(_) => true,
        };
        let imports = self.instances.values().flat_map(|it| it.imports.values());
        let reallocs = self.lowerings.values().flat_map(|it| &it.realloc);
        let dtors = self.resources.values().flat_map(|it| &it.dtor);
        let functions = self.exports.values().flat_map(|it| it.functions.values());
        let lifts = functions.flat_map(|function| &function.lift);
        let lifts = lifts.flat_map(Lift::defs);
        let mut defs = imports.chain(reallocs).chain(dtors).chain(lifts);
        let mut modules = self.instances.values().map(|it| it.module);
        match defs.all(is_known) && modules.all(|id| self.modules.is_valid(id)) {
            true => Ok(()),
            false => Err(AdaptError::Internal {
                message: "the component refers to an item that it does not define".to_owned(),
            }),
        }
    }

    /// How many memories its instances define.
    pub fn memories(&self, modules: &Modules<'_>) -> usize {
        let instantiated = self.instances.values();
        instantiated
            .map(|instance| &modules[instance.module])
            .map(|module| module.memories.len() - module.imported.memories)
            .sum()
    }

    /// The imports of `instance`, each with its name and type and with what it is bound to.
    pub fn imports_of<'m>(
        &'m self,
        modules: &'m Modules<'m>,
        instance: InstanceId,
    ) -> impl Iterator<Item = (&'m Import<'m>, &'m Def)> {
        let instance = &self.instances[instance];
        let imports = modules[instance.module].imports.values();
        imports.zip(instance.imports.values())
    }
}
