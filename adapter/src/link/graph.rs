//! The merged module before it is a module: everything that could be in it, by identifiers that do not depend on what
//! will be.
//!
//! `resolve` fills it, `reach` decides what stays, `emit` gives what stays its place.

use crate::link::body::Body;
use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, InputId, TableId, TypeId};
use cranelift_entity::PrimaryMap;
use std::borrow::Cow;
use std::collections::HashMap;
use wasmparser::{FuncType, FunctionBody, GlobalType, MemoryType, RefType, TableType};

/// Everything that could be in the merged module.
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
        let id = self.types.push(ty.clone());
        self.type_ids.insert(ty.clone(), id);
        id
    }
}

// === impl Const ===

impl Const {
    /// The function, if it is one.
    pub fn func(&self) -> Option<FuncId> {
        match self {
            Const::Func(id) => Some(*id),
            _ => None,
        }
    }
}
