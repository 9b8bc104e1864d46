//! Function bodies in terms of the graph's identifiers.
//!
//! A body is encoded once, before indices are known. The instructions that contain an index are kept separately, and
//! are encoded when the module is written. `decode` makes bodies from existing code, [`BodyBuilder`] makes new ones.

use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, TableId, TypeId};
use wasm_encoder::{Encode, Instruction};

/// A function body: encoded bytes, and the instructions that are left out of them.
#[derive(Debug, Default)]
pub struct Body {
    /// Local declarations and instructions, without those in `refs`.
    pub bytes: Vec<u8>,
    /// The instructions that refer to an item, in order, each with its position in `bytes`.
    pub refs: Vec<(usize, Ref)>,
    /// For each instruction, if debug information needs it: its position in its module, its position in `bytes`, and
    /// the number of `refs` before it.
    pub offsets: Vec<(usize, usize, usize)>,
}

/// An instruction that refers to an item of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ref {
    /// `call`
    Call(FuncId),
    /// `ref.func`
    Func(FuncId),
    /// `call_indirect`
    CallIndirect(TypeId, TableId),
    /// `block` with a type index.
    Block(TypeId),
    /// `loop` with a type index.
    Loop(TypeId),
    /// `if` with a type index.
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
    /// `table.copy`: destination and source.
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

/// The beginning of a function of the bridge that the guest's start code may call. It allocates the bridge's state if
/// that has not been done.
#[derive(Debug, Clone, Copy)]
pub struct Prologue {
    /// The global that holds the state's address.
    pub state: GlobalId,
    /// The function that allocates it.
    pub allocate: FuncId,
}

/// Builds the body of a generated function. Its parameters are its only locals.
#[derive(Debug)]
pub struct BodyBuilder {
    body: Body,
}

// === impl BodyBuilder ===

impl BodyBuilder {
    /// Starts an empty body that declares no locals.
    pub fn new() -> BodyBuilder {
        BodyBuilder {
            body: Body {
                bytes: vec![0],
                ..Body::default()
            },
        }
    }

    /// Appends an instruction that contains no index.
    pub fn op(&mut self, instruction: Instruction<'_>) -> &mut BodyBuilder {
        instruction.encode(&mut self.body.bytes);
        self
    }

    /// Appends an instruction that refers to an item of the graph.
    pub fn refer(&mut self, to: Ref) -> &mut BodyBuilder {
        self.body.refs.push((self.body.bytes.len(), to));
        self
    }

    /// Appends `end` and returns the body.
    pub fn finish(mut self) -> Body {
        Instruction::End.encode(&mut self.body.bytes);
        self.body
    }
}
