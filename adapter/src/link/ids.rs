//! Identifiers of what could be in the merged module. None depends on what will be in it.

use cranelift_entity::entity_impl;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        entity_impl!($name);
    )* };
}

ids! {
    /// A core instance, or the bridge.
    InputId
    /// A function type.
    TypeId
    /// A function.
    FuncId
    /// A global.
    GlobalId
    /// A table.
    TableId
    /// An element segment.
    ElementId
    /// A data segment.
    DataId
}
