//! WIT types and core types as plain trees, so that what a component says and what the contract says can be compared by
//! `==` and shown to a person.
//!
//! Trees, not indices: two functions are of one type if all that they mention is, wherever it was declared. Resources
//! are the exception, for those are told apart by name.

use crate::component::Name;
use std::fmt;

/// The type of a function in WIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FuncTy {
    /// Whether it is an `async func`.
    pub is_async: bool,
    /// Names and types of the parameters.
    pub params: Vec<(String, Ty)>,
    /// The result.
    pub result: Option<Ty>,
}

/// A type in WIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ty {
    /// `bool`, a number, `char` or `string`, by its name.
    Primitive(&'static str),
    /// `record`.
    Record(Vec<(String, Ty)>),
    /// `variant`.
    Variant(Vec<(String, Option<Ty>)>),
    /// `enum`.
    Enum(Vec<String>),
    /// `flags`.
    Flags(Vec<String>),
    /// `tuple`.
    Tuple(Vec<Ty>),
    /// `list`.
    List(Box<Ty>),
    /// `option`.
    Option(Box<Ty>),
    /// `result`.
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    /// An owned handle.
    Own(Name),
    /// A borrowed handle.
    Borrow(Name),
    /// What no interface that a proxy knows makes use of, by its name: `stream`, `future`, `map`, …
    Other(&'static str),
}

/// The type of a core function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signature {
    /// Parameters.
    pub params: Vec<CoreTy>,
    /// Results.
    pub results: Vec<CoreTy>,
}

/// A core value type, as far as lifted and lowered functions have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CoreTy {
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// Anything else: a vector or a reference.
    Other,
}

// === impl FuncTy ===

impl fmt::Display for FuncTy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_async {
            f.write_str("async ")?;
        }
        f.write_str("func(")?;
        for (i, (name, ty)) in self.params.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name}: {ty}")?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

// === impl Ty ===

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Primitive(name) | Ty::Other(name) => f.write_str(name),
            Ty::Record(fields) => {
                f.write_str("record { ")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}{name}: {ty}")?;
                }
                f.write_str(" }")
            }
            Ty::Variant(cases) => {
                f.write_str("variant { ")?;
                for (i, (name, ty)) in cases.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}{name}")?;
                    if let Some(ty) = ty {
                        write!(f, "({ty})")?;
                    }
                }
                f.write_str(" }")
            }
            Ty::Enum(names) => write!(f, "enum {{ {} }}", names.join(", ")),
            Ty::Flags(names) => write!(f, "flags {{ {} }}", names.join(", ")),
            Ty::Tuple(items) => {
                f.write_str("tuple<")?;
                for (i, ty) in items.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}{ty}")?;
                }
                f.write_str(">")
            }
            Ty::List(item) => write!(f, "list<{item}>"),
            Ty::Option(item) => write!(f, "option<{item}>"),
            Ty::Result(None, None) => f.write_str("result"),
            Ty::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Ty::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Ty::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Ty::Own(name) => write!(f, "own<{}>", name.item),
            Ty::Borrow(name) => write!(f, "borrow<{}>", name.item),
        }
    }
}

// === impl Signature ===

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &[CoreTy]| types.iter().map(CoreTy::name).collect::<Vec<_>>().join(" ");
        write!(f, "({})", list(&self.params))?;
        match self.results.as_slice() {
            [] => Ok(()),
            results => write!(f, " -> {}", list(results)),
        }
    }
}

impl CoreTy {
    fn name(&self) -> &'static str {
        match self {
            CoreTy::I32 => "i32",
            CoreTy::I64 => "i64",
            CoreTy::F32 => "f32",
            CoreTy::F64 => "f64",
            CoreTy::Other => "v128|ref",
        }
    }
}

impl From<wasmparser::ValType> for CoreTy {
    fn from(ty: wasmparser::ValType) -> CoreTy {
        match ty {
            wasmparser::ValType::I32 => CoreTy::I32,
            wasmparser::ValType::I64 => CoreTy::I64,
            wasmparser::ValType::F32 => CoreTy::F32,
            wasmparser::ValType::F64 => CoreTy::F64,
            wasmparser::ValType::V128 | wasmparser::ValType::Ref(_) => CoreTy::Other,
        }
    }
}

impl From<&wasmparser::FuncType> for Signature {
    fn from(ty: &wasmparser::FuncType) -> Signature {
        Signature {
            params: ty.params().iter().map(|ty| CoreTy::from(*ty)).collect(),
            results: ty.results().iter().map(|ty| CoreTy::from(*ty)).collect(),
        }
    }
}
