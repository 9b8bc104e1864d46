//! Function bodies in the graph's identifiers.
//!
//! A body is decoded once. What does not depend on indices is encoded there and then, in its shortest form; what does is
//! kept aside with its place, so that `reach` can follow it and `emit` can fill it in without decoding again.

use crate::error::AdaptError;
use crate::link::graph::{
    Const, DataId, ElementId, FuncId, GlobalId, Graph, TableId, TypeId, unlinkable,
};
use crate::link::unit::{Callee, Unit};
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{Encode, Instruction};
use wasmparser::{BlockType, FunctionBody, Operator};

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

/// Decodes `body`, which speaks the index spaces of `unit`.
pub fn decode<'a>(
    graph: &mut Graph<'a>,
    unit: &mut Unit<'a>,
    body: &FunctionBody<'a>,
    prologue: Option<Prologue>,
    keep_offsets: bool,
) -> Result<Body, AdaptError> {
    let mut decoder = Decoder {
        graph,
        unit,
        body: Body::default(),
        keep_offsets,
    };
    match decoder.run(body, prologue) {
        Ok(()) => Ok(decoder.body),
        Err(Error::UserError(error)) => Err(error),
        Err(error) => Err(unlinkable(decoder.unit.label.clone(), error.to_string())),
    }
}

struct Decoder<'g, 'a> {
    graph: &'g mut Graph<'a>,
    unit: &'g mut Unit<'a>,
    body: Body,
    keep_offsets: bool,
}

// === impl Decoder ===

impl<'a> Decoder<'_, 'a> {
    fn run(
        &mut self,
        body: &FunctionBody<'a>,
        prologue: Option<Prologue>,
    ) -> Result<(), Error<AdaptError>> {
        let locals = body.get_locals_reader()?;
        locals.get_count().encode(&mut self.body.bytes);
        for local in locals {
            let (count, ty) = local?;
            count.encode(&mut self.body.bytes);
            self.val_type(ty)?.encode(&mut self.body.bytes);
        }
        if let Some(prologue) = prologue {
            self.prologue(prologue);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let position = operators.original_position();
            let operator = operators.read()?;
            if self.keep_offsets {
                self.body
                    .offsets
                    .push((position, self.body.bytes.len(), self.body.refs.len()));
            }
            self.operator(operator)?;
        }
        Ok(())
    }

    /// Below 2 there is no state: it has not been allocated, or is being allocated right now, which `allocate` refuses.
    fn prologue(&mut self, prologue: Prologue) {
        self.refer(Ref::GlobalGet(prologue.state));
        Instruction::I32Const(2).encode(&mut self.body.bytes);
        Instruction::I32LtU.encode(&mut self.body.bytes);
        Instruction::If(wasm_encoder::BlockType::Empty).encode(&mut self.body.bytes);
        self.refer(Ref::Call(prologue.allocate));
        Instruction::End.encode(&mut self.body.bytes);
    }

    fn operator(&mut self, operator: Operator<'a>) -> Result<(), Error<AdaptError>> {
        let to = match operator {
            Operator::Call { function_index } => return Ok(self.call(function_index)?),
            Operator::RefFunc { function_index } => {
                Ref::Func(self.unit.func(self.graph, function_index)?)
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } => Ref::CallIndirect(self.unit.ty(type_index)?, self.unit.table(table_index)?),
            Operator::Block {
                blockty: BlockType::FuncType(ty),
            } => Ref::Block(self.unit.ty(ty)?),
            Operator::Loop {
                blockty: BlockType::FuncType(ty),
            } => Ref::Loop(self.unit.ty(ty)?),
            Operator::If {
                blockty: BlockType::FuncType(ty),
            } => Ref::If(self.unit.ty(ty)?),
            Operator::GlobalGet { global_index } => Ref::GlobalGet(self.unit.global(global_index)?),
            Operator::GlobalSet { global_index } => Ref::GlobalSet(self.unit.global(global_index)?),
            Operator::TableGet { table } => Ref::TableGet(self.unit.table(table)?),
            Operator::TableSet { table } => Ref::TableSet(self.unit.table(table)?),
            Operator::TableSize { table } => Ref::TableSize(self.unit.table(table)?),
            Operator::TableGrow { table } => Ref::TableGrow(self.unit.table(table)?),
            Operator::TableFill { table } => Ref::TableFill(self.unit.table(table)?),
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Ref::TableCopy(self.unit.table(dst_table)?, self.unit.table(src_table)?),
            Operator::TableInit { elem_index, table } => {
                Ref::TableInit(self.unit.table(table)?, self.unit.element(elem_index)?)
            }
            Operator::ElemDrop { elem_index } => Ref::ElemDrop(self.unit.element(elem_index)?),
            Operator::MemoryInit { data_index, mem } => {
                self.memory_index(mem)?;
                Ref::MemoryInit(self.unit.data(data_index)?)
            }
            Operator::DataDrop { data_index } => Ref::DataDrop(self.unit.data(data_index)?),
            other => {
                let instruction = self.instruction(other)?;
                instruction.encode(&mut self.body.bytes);
                return Ok(());
            }
        };
        self.refer(to);
        Ok(())
    }

    fn refer(&mut self, to: Ref) {
        self.body.refs.push((self.body.bytes.len(), to));
    }

    /// A call becomes what the callee is: mostly a call.
    fn call(&mut self, index: u32) -> Result<(), AdaptError> {
        let callee = self.unit.callee(index)?;
        match callee {
            Callee::Func(id) => self.refer(Ref::Call(id)),
            // The one argument is the result.
            Callee::Identity => {}
            Callee::Nothing => {
                for _ in self.unit.params(index)? {
                    Instruction::Drop.encode(&mut self.body.bytes);
                }
            }
            Callee::GlobalGet(global) => self.refer(Ref::GlobalGet(global)),
            Callee::GlobalSet(global) => self.refer(Ref::GlobalSet(global)),
            Callee::Absent | Callee::Async => return Err(self.unit.absent(index)),
        }
        Ok(())
    }

    fn unexpected(&self, what: &str) -> Error<AdaptError> {
        Error::UserError(unlinkable(
            self.unit.label.clone(),
            format!("an instruction refers to {what}"),
        ))
    }
}

/// All that `Decoder::operator` does not take care of itself refers to nothing that moves. Should it, that is an error.
impl Reencode for Decoder<'_, '_> {
    type Error = AdaptError;

    fn memory_index(&mut self, memory: u32) -> Result<u32, Error<AdaptError>> {
        if memory == 0 {
            Ok(0)
        } else {
            Err(self.unexpected("a second memory"))
        }
    }

    fn function_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("a function in a way that this adapter does not know"))
    }

    fn global_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("a global in a way that this adapter does not know"))
    }

    fn table_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("a table in a way that this adapter does not know"))
    }

    fn type_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("a type in a way that this adapter does not know"))
    }

    fn tag_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("an exception"))
    }

    fn data_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("a data segment in a way that this adapter does not know"))
    }

    fn element_index(&mut self, _: u32) -> Result<u32, Error<AdaptError>> {
        Err(self.unexpected("an element segment in a way that this adapter does not know"))
    }
}

impl From<AdaptError> for Error<AdaptError> {
    fn from(error: AdaptError) -> Error<AdaptError> {
        Error::UserError(error)
    }
}

/// The function behind a constant, if it is one.
pub fn func_of(constant: &Const) -> Option<FuncId> {
    match constant {
        Const::Func(id) => Some(*id),
        _ => None,
    }
}
