//! Stubs: functions that replace those of WASI which a proxy cannot provide.
//!
//! A stub returns an error, `none` or an empty list, if the type of the function that it replaces allows it. Otherwise
//! it traps. In both cases the name of the replaced function appears in the backtrace.

use crate::link::body::{BodyBuilder, Ref};
use crate::link::graph::{Code, Func, Graph};
use crate::link::ids::FuncId;
use crate::types::{CoreTy, FuncTy, Signature, Ty};
use std::borrow::Cow;
use wasm_encoder::{Instruction, MemArg};
use wasmparser::{FuncType, ValType};

/// The error cases that describe the failure best, in order of preference.
const ERRORS: &[&str] = &[
    "unsupported",
    "not-supported",
    "access-denied",
    "access",
    "not-permitted",
    "closed",
    "HTTP-request-denied",
];

/// What a stub does when it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stub {
    /// It returns. The function has no result.
    Silence,
    /// It returns an error. `None` if the error has no payload, else the payload's offset in the result and the case to
    /// store there.
    Error(Option<(u64, u32)>),
    /// It returns `none`.
    Absent,
    /// It returns an empty list or string, whose elements have this alignment.
    Empty(u64),
    /// It traps.
    Trap,
}

// === impl Stub ===

impl Stub {
    /// Chooses the stub for a function of this type.
    pub fn of(ty: &FuncTy) -> Stub {
        match &ty.result {
            None => Stub::Silence,
            Some(Ty::Option(_)) => Stub::Absent,
            Some(Ty::List(item)) => Stub::Empty(align(item)),
            Some(Ty::Primitive("string")) => Stub::Empty(1),
            Some(Ty::Result(_, None)) => Stub::Error(None),
            Some(Ty::Result(ok, Some(error))) => {
                let payload = ok
                    .iter()
                    .map(|ok| align(ok))
                    .max()
                    .unwrap_or(1)
                    .max(align(error));
                let case = |names: Vec<(&String, bool)>| {
                    let known = ERRORS
                        .iter()
                        .find_map(|error| names.iter().position(|(n, free)| n == error && *free));
                    known.or_else(|| names.iter().position(|(_, free)| *free))
                };
                let case = match error.as_ref() {
                    Ty::Enum(names) => case(names.iter().map(|name| (name, true)).collect()),
                    Ty::Variant(cases) => case(
                        cases
                            .iter()
                            .map(|(name, ty)| (name, ty.is_none()))
                            .collect(),
                    ),
                    _ => None,
                };
                match case {
                    // All error types of WASI have a discriminant of one byte.
                    Some(case) if case < 256 => Stub::Error(Some((payload, case as u32))),
                    _ => Stub::Trap,
                }
            }
            Some(_) => Stub::Trap,
        }
    }
}

/// Adds the stub that replaces `function`. `realloc` allocates its results.
pub fn make(
    graph: &mut Graph<'_>,
    function: &str,
    ty: &FuncTy,
    signature: &Signature,
    realloc: Option<FuncId>,
) -> FuncId {
    let params: Vec<_> = signature.params.iter().map(|ty| val_type(*ty)).collect();
    let results: Vec<_> = signature.results.iter().map(|ty| val_type(*ty)).collect();
    // A result that takes more than one core value is stored where the last parameter points.
    let out = (params.len() as u32).wrapping_sub(1);
    let mut body = BodyBuilder::new();
    let store = |body: &mut BodyBuilder, offset: u64, value: u32| {
        let memarg = MemArg {
            offset,
            align: 0,
            memory_index: 0,
        };
        body.op(Instruction::LocalGet(out))
            .op(Instruction::I32Const(value as i32))
            .op(Instruction::I32Store8(memarg));
    };
    match (Stub::of(ty), results.is_empty(), realloc) {
        (Stub::Silence, true, _) => {}
        (Stub::Error(None), false, _) => {
            body.op(Instruction::I32Const(1));
        }
        (Stub::Error(error), true, _) if !params.is_empty() => {
            store(&mut body, 0, 1);
            if let Some((offset, case)) = error {
                store(&mut body, offset, case);
            }
        }
        (Stub::Absent, true, _) if !params.is_empty() => store(&mut body, 0, 0),
        (Stub::Empty(align), true, Some(realloc)) if !params.is_empty() => {
            // The address of an empty list also comes from the guest's allocator, because some guests free every list
            // that they receive.
            let memarg = |offset| MemArg {
                offset,
                align: 2,
                memory_index: 0,
            };
            body.op(Instruction::LocalGet(out));
            for argument in [0, 0, align as i32, 0] {
                body.op(Instruction::I32Const(argument));
            }
            body.refer(Ref::Call(realloc))
                .op(Instruction::I32Store(memarg(0)))
                .op(Instruction::LocalGet(out))
                .op(Instruction::I32Const(0))
                .op(Instruction::I32Store(memarg(4)));
        }
        _ => {
            body.op(Instruction::Unreachable);
        }
    }
    let ty = graph.type_id(&FuncType::new(params, results));
    let code = Code::Body(body.finish());
    graph.funcs.push(Func {
        ty,
        code,
        name: Some(Cow::Owned(format!("[refused] {function}"))),
    })
}

fn val_type(ty: CoreTy) -> ValType {
    match ty {
        CoreTy::I32 | CoreTy::Other => ValType::I32,
        CoreTy::I64 => ValType::I64,
        CoreTy::F32 => ValType::F32,
        CoreTy::F64 => ValType::F64,
    }
}

/// The alignment of a value in memory.
fn align(ty: &Ty) -> u64 {
    let max = |types: &mut dyn Iterator<Item = &Ty>| types.map(align).max().unwrap_or(1);
    match ty {
        Ty::Primitive("bool" | "u8" | "s8") => 1,
        Ty::Primitive("u16" | "s16") => 2,
        Ty::Primitive("u64" | "s64" | "f64") => 8,
        Ty::Primitive(_) | Ty::List(_) | Ty::Own(_) | Ty::Borrow(_) | Ty::Other(_) => 4,
        Ty::Record(fields) => max(&mut fields.iter().map(|(_, ty)| ty)),
        Ty::Tuple(items) => max(&mut items.iter()),
        Ty::Variant(cases) => {
            max(&mut cases.iter().filter_map(|(_, ty)| ty.as_ref())).max(discriminant(cases.len()))
        }
        Ty::Enum(names) => discriminant(names.len()),
        Ty::Flags(names) => match names.len() {
            0..=8 => 1,
            9..=16 => 2,
            _ => 4,
        },
        Ty::Option(item) => align(item),
        Ty::Result(ok, error) => max(&mut ok.iter().chain(error).map(|ty| ty.as_ref())),
    }
}

fn discriminant(cases: usize) -> u64 {
    match cases {
        0..=256 => 1,
        257..=65536 => 2,
        _ => 4,
    }
}
