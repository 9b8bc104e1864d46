//! The merged module before it is a module: everything that could be in it, by identifiers that do not depend on what
//! will be.
//!
//! `resolve` fills it, `reach` decides what stays, `emit` gives what stays its place.

use crate::error::AdaptError;
use crate::link::body::Body;
use std::borrow::Cow;
use std::collections::HashMap;
use wasmparser::{FuncType, FunctionBody, GlobalType, MemoryType, RefType, TableType};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index of the graph's list.
            pub fn at(self) -> usize {
                self.0 as usize
            }
        }
    )* };
}

ids! {
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

/// Everything that could be in the merged module.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    /// Function types, each once.
    pub types: Vec<FuncType>,
    type_ids: HashMap<FuncType, TypeId>,
    /// Functions.
    pub funcs: Vec<Func<'a>>,
    /// Globals.
    pub globals: Vec<Global>,
    /// Tables.
    pub tables: Vec<TableType>,
    /// Element segments.
    pub elements: Vec<Element>,
    /// Data segments.
    pub data: Vec<Data<'a>>,
    /// Memories; a module with other than one does not come out of `resolve`.
    pub memories: Vec<MemoryType>,
}

/// A function.
#[derive(Debug)]
pub struct Func<'a> {
    /// Its type.
    pub ty: TypeId,
    /// What it does.
    pub code: Code<'a>,
    /// Its name for backtraces.
    pub name: Option<Cow<'a, str>>,
}

/// What a function does.
#[derive(Debug)]
pub enum Code<'a> {
    /// It is the proxy's.
    Import {
        /// The import's module.
        module: &'a str,
        /// The import's name.
        name: &'a str,
    },
    /// It has a body that has not been looked at.
    Raw {
        /// The unit that it speaks the index spaces of.
        unit: usize,
        /// The body.
        body: FunctionBody<'a>,
    },
    /// It has a body in the graph's identifiers.
    Body(Body),
}

/// A global.
#[derive(Debug)]
pub struct Global {
    /// Its type.
    pub ty: GlobalType,
    /// Its first value.
    pub init: Const,
}

/// An element segment.
#[derive(Debug)]
pub struct Element {
    /// When and where it is applied.
    pub mode: ElementMode,
    /// The type of its items.
    pub ty: RefType,
    /// Its items.
    pub items: Vec<Const>,
}

/// When and where an element segment is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementMode {
    /// At instantiation.
    Active {
        /// To this table.
        table: TableId,
        /// From this slot.
        offset: Const,
    },
    /// By `table.init`.
    Passive,
    /// Never; it only allows `ref.func` of its items.
    Declared,
}

/// A data segment.
#[derive(Debug)]
pub struct Data<'a> {
    /// Where it is applied at instantiation; a passive one has no such place.
    pub offset: Option<Const>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Const {
    /// `i32.const`
    I32(i32),
    /// `i64.const`
    I64(i64),
    /// `f32.const`, by its bits.
    F32(u32),
    /// `f64.const`, by its bits.
    F64(u64),
    /// `v128.const`
    V128(i128),
    /// `ref.null`
    Null(RefType),
    /// `ref.func`
    Func(FuncId),
}

// === impl Graph ===

impl<'a> Graph<'a> {
    /// The identifier of a function type.
    pub fn type_id(&mut self, ty: &FuncType) -> TypeId {
        if let Some(id) = self.type_ids.get(ty) {
            return *id;
        }
        let id = TypeId(self.types.len() as u32);
        self.types.push(ty.clone());
        self.type_ids.insert(ty.clone(), id);
        id
    }

    /// Adds a function.
    pub fn func(&mut self, func: Func<'a>) -> FuncId {
        self.funcs.push(func);
        FuncId(self.funcs.len() as u32 - 1)
    }

    /// Adds a global.
    pub fn global(&mut self, global: Global) -> GlobalId {
        self.globals.push(global);
        GlobalId(self.globals.len() as u32 - 1)
    }
}

/// Says that something of module `module` cannot be linked.
pub fn unlinkable(module: impl Into<String>, message: impl Into<String>) -> AdaptError {
    AdaptError::Link {
        module: module.into(),
        message: message.into(),
    }
}
