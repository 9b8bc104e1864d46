//! An input of the linker: one core instance, or the bridge.
//!
//! A [`LinkInput`] maps the index spaces of its module to the graph's identifiers. `resolve` creates the inputs and
//! binds their imports.

use crate::error::AdaptError;
use crate::ids::{DataIndex, ElementIndex, FuncIndex, GlobalIndex, TableIndex, TypeIndex};
use crate::link::body::{BodyBuilder, Ref};
use crate::link::graph::{Code, Const, Data, Element, ElementMode, Func, Global, Graph};
use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, InputId, TableId, TypeId};
use crate::module::Module;
use cranelift_entity::{EntityRef, PrimaryMap};
use std::borrow::Cow;
use std::collections::HashMap;
use wasm_encoder::Instruction;
use wasmparser::{ConstExpr, DataKind, ElementItems, ElementKind, Operator, RefType, ValType};

/// One core instance, or the bridge.
pub struct LinkInput<'a> {
    /// Its name in error messages.
    pub label: String,
    /// Its module.
    pub module: &'a Module<'a>,
    types: PrimaryMap<TypeIndex, TypeId>,
    /// What each of its function indices refers to, imported functions first.
    pub callees: PrimaryMap<FuncIndex, Callee>,
    /// Its tables, imported ones first.
    pub tables: PrimaryMap<TableIndex, TableId>,
    /// Its globals, imported ones first.
    pub globals: PrimaryMap<GlobalIndex, GlobalId>,
    elements: PrimaryMap<ElementIndex, ElementId>,
    data: PrimaryMap<DataIndex, DataId>,
    /// Functions that were generated for callees which are not functions but are referred to as such, by function
    /// index.
    made: HashMap<FuncIndex, FuncId>,
}

/// What a function index refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// A function.
    Func(FuncId),
    /// The identity: its one argument is its result.
    Identity,
    /// A function that does nothing.
    Nothing,
    /// A function that returns this number and ignores its arguments.
    Constant(i32),
    /// A function that reads a global.
    GlobalGet(GlobalId),
    /// A function that writes a global.
    GlobalSet(GlobalId),
    /// A built-in for asynchronous functions. It is an error to reach it.
    Async,
    /// Nothing is bound to the index. It is an error to reach it.
    Absent,
}

// === impl LinkInput ===

impl<'a> LinkInput<'a> {
    /// Enters the functions of `module` into the graph. Imports stay [`Callee::Absent`] until they are resolved.
    pub fn declare(
        graph: &mut Graph<'a>,
        module: &'a Module<'a>,
        id: InputId,
        label: String,
    ) -> Result<LinkInput<'a>, AdaptError> {
        let types = module.types.values().map(|ty| graph.type_id(ty));
        let types: PrimaryMap<_, _> = types.collect();
        let names: HashMap<_, _> = module.func_names.iter().copied().collect();
        let mut callees = PrimaryMap::new();
        let mut bodies = module.bodies.iter();
        for (func, ty) in module.funcs.iter() {
            if (func.as_u32() as usize) < module.imported.funcs {
                callees.push(Callee::Absent);
                continue;
            }
            let (Some(ty), Some(body)) = (types.get(*ty), bodies.next()) else {
                let message = format!("function {} has no type or no body", func.as_u32());
                return Err(AdaptError::link(label, message));
            };
            let name = names.get(&func.as_u32()).map(|name| Cow::Borrowed(*name));
            let code = Code::Raw {
                input: id,
                body: body.clone(),
            };
            let ty = *ty;
            callees.push(Callee::Func(graph.funcs.push(Func { ty, code, name })));
        }
        Ok(LinkInput {
            label,
            module,
            types,
            callees,
            tables: PrimaryMap::new(),
            globals: PrimaryMap::new(),
            elements: PrimaryMap::new(),
            data: PrimaryMap::new(),
            made: HashMap::new(),
        })
    }

    /// Enters tables, globals and segments into the graph. Imported tables and globals must have been resolved before.
    pub fn define(&mut self, graph: &mut Graph<'a>) -> Result<(), AdaptError> {
        let module = self.module;
        for table in module.tables.values().skip(module.imported.tables) {
            if table.init.is_some() {
                return Err(AdaptError::link(
                    self.label.clone(),
                    "a table is filled by an expression",
                ));
            }
            self.tables.push(graph.tables.push(table.ty));
        }
        graph
            .memories
            .extend(module.memories.values().skip(module.imported.memories));
        for (ty, init) in module.globals.values().skip(module.imported.globals) {
            let init = match init {
                Some(init) => self.constant(graph, init)?,
                None => {
                    return Err(AdaptError::link(
                        self.label.clone(),
                        "a global has no value",
                    ));
                }
            };
            self.globals
                .push(graph.globals.push(Global { ty: *ty, init }));
        }
        for element in &module.elements {
            let element = self.element_segment(graph, element)?;
            self.elements.push(graph.elements.push(element));
        }
        for data in &module.data {
            let offset = match &data.kind {
                DataKind::Active {
                    memory_index: 0,
                    offset_expr,
                } => Some(self.constant(graph, offset_expr)?),
                DataKind::Active { .. } => {
                    return Err(AdaptError::link(
                        self.label.clone(),
                        "it has a second memory",
                    ));
                }
                DataKind::Passive => None,
            };
            self.data.push(graph.data.push(Data {
                offset,
                bytes: data.data,
            }));
        }
        Ok(())
    }

    fn element_segment(
        &mut self,
        graph: &mut Graph<'a>,
        element: &wasmparser::Element<'a>,
    ) -> Result<Element, AdaptError> {
        let mode = match &element.kind {
            ElementKind::Active {
                table_index,
                offset_expr,
            } => ElementMode::Active {
                table: self.table(table_index.unwrap_or(0))?,
                offset: self.constant(graph, offset_expr)?,
            },
            ElementKind::Passive => ElementMode::Passive,
            ElementKind::Declared => ElementMode::Declared,
        };
        let mut items = Vec::new();
        let ty = match &element.items {
            ElementItems::Functions(functions) => {
                for index in functions.clone() {
                    let index = index.map_err(|error| self.malformed(&error))?;
                    items.push(Const::Func(self.func(graph, index)?));
                }
                RefType::FUNCREF
            }
            ElementItems::Expressions(ty, expressions) => {
                for expression in expressions.clone() {
                    let expression = expression.map_err(|error| self.malformed(&error))?;
                    items.push(self.constant(graph, &expression)?);
                }
                *ty
            }
        };
        Ok(Element { mode, ty, items })
    }

    /// Evaluates a constant expression. Everything that it may refer to is known at this point, so old engines need not
    /// evaluate it.
    fn constant(
        &mut self,
        graph: &mut Graph<'a>,
        expression: &ConstExpr<'a>,
    ) -> Result<Const, AdaptError> {
        let mut stack = Vec::new();
        for operator in expression.get_operators_reader() {
            let operator = operator.map_err(|error| self.malformed(&error))?;
            let value = match operator {
                Operator::I32Const { value } => Const::I32(value),
                Operator::I64Const { value } => Const::I64(value),
                Operator::F32Const { value } => Const::F32(value.bits()),
                Operator::F64Const { value } => Const::F64(value.bits()),
                Operator::V128Const { value } => Const::V128(value.i128()),
                Operator::RefNull { hty } => match RefType::new(true, hty) {
                    Some(ty) => Const::Null(ty),
                    None => {
                        return Err(AdaptError::link(
                            self.label.clone(),
                            "a null of an unknown type",
                        ));
                    }
                },
                Operator::RefFunc { function_index } => {
                    Const::Func(self.func(graph, function_index)?)
                }
                Operator::GlobalGet { global_index } => {
                    let global = self.global(global_index)?;
                    graph.globals[global].init
                }
                Operator::End => continue,
                other => match (stack.pop(), stack.pop()) {
                    (Some(right), Some(left)) => match fold(&other, left, right) {
                        Some(value) => value,
                        None => {
                            return Err(AdaptError::link(
                                self.label.clone(),
                                format!("a constant with {other:?}"),
                            ));
                        }
                    },
                    _ => {
                        return Err(AdaptError::link(
                            self.label.clone(),
                            "a constant that is incomplete",
                        ));
                    }
                },
            };
            stack.push(value);
        }
        match stack.as_slice() {
            [value] => Ok(*value),
            _ => Err(AdaptError::link(
                self.label.clone(),
                "a constant that is not one value",
            )),
        }
    }

    /// The graph's identifier of type `index`.
    pub fn ty(&self, index: impl Into<TypeIndex>) -> Result<TypeId, AdaptError> {
        let index = index.into();
        let found = self.types.get(index).copied();
        found.ok_or_else(|| self.beyond("type", index))
    }

    /// What function `index` refers to.
    pub fn callee(&self, index: impl Into<FuncIndex>) -> Result<Callee, AdaptError> {
        let index = index.into();
        let found = self.callees.get(index).copied();
        found.ok_or_else(|| self.beyond("function", index))
    }

    /// The parameters of function `index`.
    pub fn params(&self, index: impl Into<FuncIndex>) -> Result<&'a [ValType], AdaptError> {
        let index = index.into();
        let ty = self.module.func_type(index);
        let ty = ty.ok_or_else(|| self.beyond("function", index))?;
        Ok(ty.params())
    }

    /// The graph's identifier of table `index`.
    pub fn table(&self, index: impl Into<TableIndex>) -> Result<TableId, AdaptError> {
        let index = index.into();
        let found = self.tables.get(index).copied();
        found.ok_or_else(|| self.beyond("table", index))
    }

    /// The graph's identifier of global `index`.
    pub fn global(&self, index: impl Into<GlobalIndex>) -> Result<GlobalId, AdaptError> {
        let index = index.into();
        let found = self.globals.get(index).copied();
        found.ok_or_else(|| self.beyond("global", index))
    }

    /// The graph's identifier of element segment `index`.
    pub fn element(&self, index: impl Into<ElementIndex>) -> Result<ElementId, AdaptError> {
        let index = index.into();
        let found = self.elements.get(index).copied();
        found.ok_or_else(|| self.beyond("element segment", index))
    }

    /// The graph's identifier of data segment `index`.
    pub fn data(&self, index: impl Into<DataIndex>) -> Result<DataId, AdaptError> {
        let index = index.into();
        let found = self.data.get(index).copied();
        found.ok_or_else(|| self.beyond("data segment", index))
    }

    /// Returns function `index` as a function that can be referred to. One is generated if the callee is not a
    /// function.
    pub fn func(
        &mut self,
        graph: &mut Graph<'a>,
        index: impl Into<FuncIndex>,
    ) -> Result<FuncId, AdaptError> {
        let index = index.into();
        let callee = self.callee(index)?;
        if let Callee::Func(id) = callee {
            return Ok(id);
        }
        if let Some(id) = self.made.get(&index) {
            return Ok(*id);
        }
        let ty = self
            .module
            .func_type(index)
            .ok_or_else(|| self.beyond("function", index))?;
        let ty = graph.type_id(ty);
        let mut body = BodyBuilder::new();
        match callee {
            Callee::Identity | Callee::GlobalSet(_) => body.op(Instruction::LocalGet(0)),
            _ => &mut body,
        };
        match callee {
            Callee::GlobalGet(global) => body.refer(Ref::GlobalGet(global)),
            Callee::GlobalSet(global) => body.refer(Ref::GlobalSet(global)),
            Callee::Constant(value) => body.op(Instruction::I32Const(value)),
            Callee::Absent | Callee::Async => return Err(self.absent(index)),
            Callee::Identity | Callee::Nothing | Callee::Func(_) => &mut body,
        };
        let id = graph.funcs.push(Func {
            ty,
            code: Code::Body(body.finish()),
            name: None,
        });
        self.made.insert(index, id);
        Ok(id)
    }

    /// The error for code that reaches an import which nothing provides.
    pub fn absent(&self, index: impl Into<FuncIndex>) -> AdaptError {
        let index = index.into();
        let import = self.module.import_of_func(index);
        let Some(import) = import.and_then(|import| self.module.imports.get(import)) else {
            return self.beyond("imported function", index);
        };
        if let Ok(Callee::Async) = self.callee(index) {
            return AdaptError::Async {
                interface: "(canonical built-ins)".to_owned(),
                function: import.name.to_owned(),
            };
        }
        let message = format!(
            "it calls `{}` `{}`, which is not provided",
            import.module, import.name
        );
        AdaptError::link(self.label.clone(), message)
    }

    fn beyond(&self, what: &str, index: impl EntityRef) -> AdaptError {
        let message = format!("there is no {what} {}", index.index());
        AdaptError::link(self.label.clone(), message)
    }

    fn malformed(&self, error: &wasmparser::Error) -> AdaptError {
        AdaptError::link(self.label.clone(), error.to_string())
    }
}

fn fold(operator: &Operator<'_>, left: Const, right: Const) -> Option<Const> {
    Some(match (operator, left, right) {
        (Operator::I32Add, Const::I32(l), Const::I32(r)) => Const::I32(l.wrapping_add(r)),
        (Operator::I32Sub, Const::I32(l), Const::I32(r)) => Const::I32(l.wrapping_sub(r)),
        (Operator::I32Mul, Const::I32(l), Const::I32(r)) => Const::I32(l.wrapping_mul(r)),
        (Operator::I64Add, Const::I64(l), Const::I64(r)) => Const::I64(l.wrapping_add(r)),
        (Operator::I64Sub, Const::I64(l), Const::I64(r)) => Const::I64(l.wrapping_sub(r)),
        (Operator::I64Mul, Const::I64(l), Const::I64(r)) => Const::I64(l.wrapping_mul(r)),
        _ => return None,
    })
}
