//! Decodes function bodies into the graph's identifiers.
//!
//! A body is decoded once. Instructions that contain no index are encoded at once, in their shortest form. The others
//! are kept separately with their positions, so that `reach` can follow them and `emit` can fill them in without
//! decoding the body again.

use crate::error::AdaptError;
use crate::link::body::{Body, Prologue, Ref};
use crate::link::graph::Graph;
use crate::link::input::{Callee, LinkInput};
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{Encode, Instruction};
use wasmparser::{BlockType, FunctionBody, Operator};

/// Decodes `body`, whose indices are in the index spaces of `input`.
pub fn decode<'a>(
    graph: &mut Graph<'a>,
    input: &mut LinkInput<'a>,
    body: &FunctionBody<'a>,
    prologue: Option<Prologue>,
    keep_offsets: bool,
) -> Result<Body, AdaptError> {
    let mut decoder = Decoder {
        graph,
        input,
        body: Body::default(),
        keep_offsets,
    };
    match decoder.run(body, prologue) {
        Ok(()) => Ok(decoder.body),
        Err(Error::UserError(error)) => Err(error),
        Err(error) => Err(AdaptError::link(
            decoder.input.label.clone(),
            error.to_string(),
        )),
    }
}

struct Decoder<'g, 'a> {
    graph: &'g mut Graph<'a>,
    input: &'g mut LinkInput<'a>,
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

    /// Encodes the prologue. A state address below 2 means that there is no state: it has not been allocated, or it is
    /// being allocated at this moment, in which case the function that allocates it traps.
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
                Ref::Func(self.input.func(self.graph, function_index)?)
            }
            Operator::CallIndirect {
                type_index,
                table_index,
            } => Ref::CallIndirect(self.input.ty(type_index)?, self.input.table(table_index)?),
            Operator::Block {
                blockty: BlockType::FuncType(ty),
            } => Ref::Block(self.input.ty(ty)?),
            Operator::Loop {
                blockty: BlockType::FuncType(ty),
            } => Ref::Loop(self.input.ty(ty)?),
            Operator::If {
                blockty: BlockType::FuncType(ty),
            } => Ref::If(self.input.ty(ty)?),
            Operator::GlobalGet { global_index } => {
                Ref::GlobalGet(self.input.global(global_index)?)
            }
            Operator::GlobalSet { global_index } => {
                Ref::GlobalSet(self.input.global(global_index)?)
            }
            Operator::TableGet { table } => Ref::TableGet(self.input.table(table)?),
            Operator::TableSet { table } => Ref::TableSet(self.input.table(table)?),
            Operator::TableSize { table } => Ref::TableSize(self.input.table(table)?),
            Operator::TableGrow { table } => Ref::TableGrow(self.input.table(table)?),
            Operator::TableFill { table } => Ref::TableFill(self.input.table(table)?),
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Ref::TableCopy(self.input.table(dst_table)?, self.input.table(src_table)?),
            Operator::TableInit { elem_index, table } => {
                Ref::TableInit(self.input.table(table)?, self.input.element(elem_index)?)
            }
            Operator::ElemDrop { elem_index } => Ref::ElemDrop(self.input.element(elem_index)?),
            Operator::MemoryInit { data_index, mem } => {
                self.memory_index(mem)?;
                Ref::MemoryInit(self.input.data(data_index)?)
            }
            Operator::DataDrop { data_index } => Ref::DataDrop(self.input.data(data_index)?),
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

    /// Decodes a call. What it becomes depends on the callee; in most cases it is a call.
    fn call(&mut self, index: u32) -> Result<(), AdaptError> {
        let callee = self.input.callee(index)?;
        match callee {
            Callee::Func(id) => self.refer(Ref::Call(id)),
            // The one argument is the result.
            Callee::Identity => {}
            Callee::Nothing | Callee::Constant(_) => {
                for _ in self.input.params(index)? {
                    Instruction::Drop.encode(&mut self.body.bytes);
                }
                if let Callee::Constant(value) = callee {
                    Instruction::I32Const(value).encode(&mut self.body.bytes);
                }
            }
            Callee::GlobalGet(global) => self.refer(Ref::GlobalGet(global)),
            Callee::GlobalSet(global) => self.refer(Ref::GlobalSet(global)),
            Callee::Absent | Callee::Async => return Err(self.input.absent(index)),
        }
        Ok(())
    }

    fn unexpected(&self, what: &str) -> Error<AdaptError> {
        Error::UserError(AdaptError::link(
            self.input.label.clone(),
            format!("an instruction refers to {what}"),
        ))
    }
}

/// Instructions that `Decoder::operator` does not handle itself contain no index that changes. If one does, that is an
/// error.
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
