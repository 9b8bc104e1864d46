//! The graph: everything that could be part of the merged module, before it is known what will be.
//!
//! Items have identifiers that do not depend on which of them are kept. `resolve` fills the graph, `reach` decides what
//! is kept, and `emit` assigns the final indices.

use crate::link::body::Body;
use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, InputId, TableId, TypeId};
use cranelift_entity::PrimaryMap;
use std::borrow::Cow;
use std::collections::HashMap;
use wasmparser::{FuncType, FunctionBody, GlobalType, MemoryType, RefType, TableType};

/// Everything that could be part of the merged module.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    /// Function types, each once.
    pub types: PrimaryMap<TypeId, FuncType>,
    type_ids: HashMap<FuncType, TypeId>,
    /// Functions.
    pub funcs: PrimaryMap<FuncId, Func<'a>>,
    /// Globals.
    pub globals: PrimaryMap<GlobalId, Global>,
    /// Tables.
    pub tables: PrimaryMap<TableId, TableType>,
    /// Element segments.
    pub elements: PrimaryMap<ElementId, Element>,
    /// Data segments.
    pub data: PrimaryMap<DataId, Data<'a>>,
    /// Memories. `resolve` rejects any number but one.
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
    /// It is imported from the proxy.
    Import {
        /// The import's module.
        module: &'a str,
        /// The import's name.
        name: &'a str,
    },
    /// It has a body that has not been decoded.
    Raw {
        /// The input whose index spaces it uses.
        input: InputId,
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
    /// Its initial value.
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
        /// Starting at this slot.
        offset: Const,
    },
    /// By `table.init`.
    Passive,
    /// Never. It only permits `ref.func` of its items.
    Declared,
}

/// A data segment.
#[derive(Debug)]
pub struct Data<'a> {
    /// The offset at which it is applied at instantiation. `None` for a passive segment.
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
    /// `f32.const`, as bits.
    F32(u32),
    /// `f64.const`, as bits.
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
        let id = self.types.push(ty.clone());
        self.type_ids.insert(ty.clone(), id);
        id
    }
}

// === impl Const ===

impl Const {
    /// Returns the function, if it is a `ref.func`.
    pub fn func(&self) -> Option<FuncId> {
        match self {
            Const::Func(id) => Some(*id),
            _ => None,
        }
    }
}
