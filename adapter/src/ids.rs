//! Identifiers of the parts of a component, and indices of the index spaces of its core modules.

/// Defines types of identifiers: 32-bit indices, each into one index space only.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        cranelift_entity::entity_impl!($name);

        impl From<u32> for $name {
            fn from(index: u32) -> $name {
                $name::from_u32(index)
            }
        }
    )* };
}
pub(crate) use ids;

ids! {
    /// A core module of a component.
    ModuleId
    /// A core instance.
    InstanceId
    /// A lowered import.
    LoweringId
    /// A resource that a component defines.
    ResourceId
    /// The position of an import among the imports of a core module.
    ImportIndex
    /// A function type of a core module.
    TypeIndex
    /// A function of a core module.
    FuncIndex
    /// A table of a core module.
    TableIndex
    /// A memory of a core module.
    MemoryIndex
    /// A global of a core module.
    GlobalIndex
    /// An element segment of a core module.
    ElementIndex
    /// A data segment of a core module.
    DataIndex
}
