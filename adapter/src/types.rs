//! WIT types and core types as plain trees, so that the types of a component and those of the contract can be compared
//! with `==` and shown in messages.
//!
//! They are trees and not indices: two functions have the same type if all types in them are the same, wherever those
//! were declared. Resources are the exception: they are distinguished by name.

use crate::name::Name;
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
    /// A type that no supported interface uses, by its name: `stream`, `future`, `map` and so on.
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

/// A core value type, as far as lifted and lowered functions use it.
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

impl FuncTy {
    /// Returns the same type with resources named without the versions of their packages, so that all releases of WASI
    /// 0.2 compare equal.
    pub(crate) fn without_versions(&self) -> FuncTy {
        let params = self.params.iter();
        FuncTy {
            is_async: self.is_async,
            params: params
                .map(|(name, ty)| (name.clone(), ty.without_versions()))
                .collect(),
            result: self.result.as_ref().map(Ty::without_versions),
        }
    }

    /// Returns the name of a type in it that this version does not support, if there is one.
    pub(crate) fn unsupported(&self) -> Option<&'static str> {
        let params = self.params.iter().map(|(_, ty)| ty);
        params.chain(&self.result).find_map(Ty::unsupported)
    }

    /// Formats the type as in WIT. If `is_full`, each resource is shown with the interface that declares it.
    pub(crate) fn text(&self, is_full: bool) -> String {
        let params = self
            .params
            .iter()
            .map(|(name, ty)| format!("{name}: {}", ty.text(is_full)));
        let params = params.collect::<Vec<_>>().join(", ");
        let result = self
            .result
            .as_ref()
            .map(|ty| format!(" -> {}", ty.text(is_full)));
        let async_ = if self.is_async { "async " } else { "" };
        format!("{async_}func({params}){}", result.unwrap_or_default())
    }
}

impl fmt::Display for FuncTy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

// === impl Ty ===

impl Ty {
    fn without_versions(&self) -> Ty {
        let of = Ty::without_versions;
        let boxed = |ty: &Option<Box<Ty>>| ty.as_ref().map(|ty| Box::new(of(ty)));
        let resource = |name: &Name| Name {
            interface: match name.interface.split_once('@') {
                Some((interface, _)) => interface.to_owned(),
                None => name.interface.clone(),
            },
            item: name.item.clone(),
        };
        match self {
            Ty::Primitive(_) | Ty::Enum(_) | Ty::Flags(_) | Ty::Other(_) => self.clone(),
            Ty::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| (name.clone(), of(ty)));
                Ty::Record(fields.collect())
            }
            Ty::Variant(cases) => {
                let cases = cases
                    .iter()
                    .map(|(name, ty)| (name.clone(), ty.as_ref().map(of)));
                Ty::Variant(cases.collect())
            }
            Ty::Tuple(items) => Ty::Tuple(items.iter().map(of).collect()),
            Ty::List(item) => Ty::List(Box::new(of(item))),
            Ty::Option(item) => Ty::Option(Box::new(of(item))),
            Ty::Result(ok, error) => Ty::Result(boxed(ok), boxed(error)),
            Ty::Own(name) => Ty::Own(resource(name)),
            Ty::Borrow(name) => Ty::Borrow(resource(name)),
        }
    }

    fn unsupported(&self) -> Option<&'static str> {
        match self {
            Ty::Other(name) => Some(name),
            Ty::Primitive(_) | Ty::Enum(_) | Ty::Flags(_) | Ty::Own(_) | Ty::Borrow(_) => None,
            Ty::Record(fields) => fields.iter().find_map(|(_, ty)| ty.unsupported()),
            Ty::Variant(cases) => cases.iter().find_map(|(_, ty)| ty.as_ref()?.unsupported()),
            Ty::Tuple(items) => items.iter().find_map(Ty::unsupported),
            Ty::List(item) | Ty::Option(item) => item.unsupported(),
            Ty::Result(ok, error) => ok.iter().chain(error).find_map(|ty| ty.unsupported()),
        }
    }

    fn text(&self, is_full: bool) -> String {
        let text = |ty: &Ty| ty.text(is_full);
        let handle = |handle: &str, name: &Name| match is_full {
            true => format!("{handle}<{} of {}>", name.item, name.interface),
            false => format!("{handle}<{}>", name.item),
        };
        let list = |items: Vec<String>| items.join(", ");
        match self {
            Ty::Primitive(name) | Ty::Other(name) => (*name).to_owned(),
            Ty::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, ty)| format!("{name}: {}", text(ty)));
                format!("record {{ {} }}", list(fields.collect()))
            }
            Ty::Variant(cases) => {
                let cases = cases.iter().map(|(name, ty)| match ty {
                    Some(ty) => format!("{name}({})", text(ty)),
                    None => name.clone(),
                });
                format!("variant {{ {} }}", list(cases.collect()))
            }
            Ty::Enum(names) => format!("enum {{ {} }}", list(names.clone())),
            Ty::Flags(names) => format!("flags {{ {} }}", list(names.clone())),
            Ty::Tuple(items) => format!("tuple<{}>", list(items.iter().map(text).collect())),
            Ty::List(item) => format!("list<{}>", text(item)),
            Ty::Option(item) => format!("option<{}>", text(item)),
            Ty::Result(None, None) => "result".to_owned(),
            Ty::Result(Some(ok), None) => format!("result<{}>", text(ok)),
            Ty::Result(None, Some(err)) => format!("result<_, {}>", text(err)),
            Ty::Result(Some(ok), Some(err)) => format!("result<{}, {}>", text(ok), text(err)),
            Ty::Own(name) => handle("own", name),
            Ty::Borrow(name) => handle("borrow", name),
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
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
