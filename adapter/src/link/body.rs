//! Function bodies in the graph's identifiers: encoded bytes, and apart from them what depends on where things end up.

use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, TableId, TypeId};
use wasm_encoder::{Encode, Instruction};

/// A body: encoded bytes with gaps where something is referred to.
#[derive(Debug, Default)]
pub struct Body {
    /// Local declarations and instructions, without those in `refs`.
    pub bytes: Vec<u8>,
    /// The instructions that are left out of `bytes`, by the place where they belong, in order.
    pub refs: Vec<(usize, Ref)>,
    /// Where the instructions were in their module and where they are in `bytes`, if debug information needs it.
    pub offsets: Vec<(usize, usize, usize)>,
}

/// An instruction that refers to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ref {
    /// `call`
    Call(FuncId),
    /// `ref.func`
    Func(FuncId),
    /// `call_indirect`
    CallIndirect(TypeId, TableId),
    /// `block`, of a type with an index.
    Block(TypeId),
    /// `loop`, of a type with an index.
    Loop(TypeId),
    /// `if`, of a type with an index.
    If(TypeId),
    /// `global.get`
    GlobalGet(GlobalId),
    /// `global.set`
    GlobalSet(GlobalId),
    /// `table.get`
    TableGet(TableId),
    /// `table.set`
    TableSet(TableId),
    /// `table.size`
    TableSize(TableId),
    /// `table.grow`
    TableGrow(TableId),
    /// `table.fill`
    TableFill(TableId),
    /// `table.copy`, to and from.
    TableCopy(TableId, TableId),
    /// `table.init`
    TableInit(TableId, ElementId),
    /// `elem.drop`
    ElemDrop(ElementId),
    /// `memory.init`
    MemoryInit(DataId),
    /// `data.drop`
    DataDrop(DataId),
}

/// What a function of the bridge begins with, if the guest's start code may call it: it allocates the bridge's state, if
/// that has not been done.
#[derive(Debug, Clone, Copy)]
pub struct Prologue {
    /// The global that holds the state's address.
    pub state: GlobalId,
    /// The function that allocates it.
    pub allocate: FuncId,
}

/// Builds a body from scratch: parameters are its only locals.
#[derive(Debug)]
pub struct BodyBuilder {
    body: Body,
}

// === impl BodyBuilder ===

impl BodyBuilder {
    /// An empty body without locals of its own.
    pub fn new() -> BodyBuilder {
        BodyBuilder {
            body: Body {
                bytes: vec![0],
                ..Body::default()
            },
        }
    }

    /// Appends an instruction that refers to nothing.
    pub fn op(&mut self, instruction: Instruction<'_>) -> &mut BodyBuilder {
        instruction.encode(&mut self.body.bytes);
        self
    }

    /// Appends an instruction that refers to something.
    pub fn refer(&mut self, to: Ref) -> &mut BodyBuilder {
        self.body.refs.push((self.body.bytes.len(), to));
        self
    }

    /// The finished body.
    pub fn finish(mut self) -> Body {
        Instruction::End.encode(&mut self.body.bytes);
        self.body
    }
}
