//! Identifiers of the graph's items. They do not depend on which items end up in the merged module.

use crate::ids::ids;

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
