//! Lets the bridge allocate results with more than one allocator.
//!
//! A component with adapter modules may have an allocator for the imports of each of them. The bridge has one import
//! for all of them, which is bound to a dispatcher: it calls the allocator whose number is in a global. Each lowered
//! import of such a component is bound to a wrapper, which sets the global for the time of the call.

use crate::error::AdaptError;
use crate::link::body::{BodyBuilder, Ref};
use crate::link::graph::{Code, Const, Func, Global, Graph};
use crate::link::ids::{FuncId, GlobalId};
use std::borrow::Cow;
use wasm_encoder::{BlockType, Instruction};
use wasmparser::{GlobalType, ValType};

/// Adds the global that holds the number of the current allocator.
pub fn current(graph: &mut Graph<'_>) -> GlobalId {
    let ty = GlobalType {
        content_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    graph.globals.push(Global {
        ty,
        init: Const::I32(0),
    })
}

/// Adds the dispatcher of `allocators`, of which there is at least one.
pub fn dispatcher(
    graph: &mut Graph<'_>,
    allocators: &[FuncId],
    current: GlobalId,
) -> Result<FuncId, AdaptError> {
    let Some((first, others)) = allocators.split_first() else {
        return Err(AdaptError::Internal {
            message: "no function allocates results".to_owned(),
        });
    };
    let ty = graph.funcs[*first].ty;
    if others.iter().any(|other| graph.funcs[*other].ty != ty) {
        return Err(AdaptError::link(
            "(all)",
            "allocators of results differ in type",
        ));
    }
    let params = graph.types[ty].params().len() as u32;
    let call = |body: &mut BodyBuilder, allocator: FuncId| {
        for param in 0..params {
            body.op(Instruction::LocalGet(param));
        }
        body.refer(Ref::Call(allocator)).op(Instruction::Return);
    };
    let mut body = BodyBuilder::new();
    for (number, allocator) in (1..).zip(others) {
        body.refer(Ref::GlobalGet(current))
            .op(Instruction::I32Const(number))
            .op(Instruction::I32Eq)
            .op(Instruction::If(BlockType::Empty));
        call(&mut body, *allocator);
        body.op(Instruction::End);
    }
    call(&mut body, *first);
    Ok(graph.funcs.push(Func {
        ty,
        code: Code::Body(body.finish()),
        name: Some(Cow::Borrowed("[allocate result]")),
    }))
}

/// Adds a function that calls `hostcall` while `number` is the number of the current allocator. `hostcall` returns its
/// result in memory, so it has none on the stack.
pub fn wrapper(
    graph: &mut Graph<'_>,
    hostcall: FuncId,
    number: usize,
    current: GlobalId,
) -> FuncId {
    let ty = graph.funcs[hostcall].ty;
    let params = graph.types[ty].params().len() as u32;
    let mut body = BodyBuilder::new();
    // The number before stays on the stack: an allocator may itself make a hostcall.
    body.refer(Ref::GlobalGet(current))
        .op(Instruction::I32Const(number as i32))
        .refer(Ref::GlobalSet(current));
    for param in 0..params {
        body.op(Instruction::LocalGet(param));
    }
    body.refer(Ref::Call(hostcall))
        .refer(Ref::GlobalSet(current));
    graph.funcs.push(Func {
        ty,
        code: Code::Body(body.finish()),
        name: None,
    })
}
