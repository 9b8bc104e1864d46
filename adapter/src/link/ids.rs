//! Identifiers of the graph's items. They do not depend on which items end up in the merged module.

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
    /// An input of the linker: a core instance, or the bridge.
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
