//! Assigns indices to everything that is kept, and writes the merged module.

use crate::error::AdaptError;
use crate::link::body::{Body, Ref};
use crate::link::graph::{Code, Const, Element, ElementMode, Graph};
use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, TableId, TypeId};
use crate::link::reach::Reached;
use crate::proxy_wasm::MEMORY;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataCountSection, DataSection, ElementSection, Elements,
    Encode, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, ImportSection,
    Instruction, MemorySection, Module, NameMap, NameSection, TableSection, TypeSection,
};
use wasmparser::RefType;

/// The index of each item in the merged module.
#[derive(Debug)]
pub struct Layout {
    types: HashMap<TypeId, u32>,
    funcs: HashMap<FuncId, u32>,
    globals: HashMap<GlobalId, u32>,
    tables: HashMap<TableId, u32>,
    elements: HashMap<ElementId, u32>,
    data: HashMap<DataId, u32>,
}

/// The merged module, and the positions of its function bodies.
#[derive(Debug)]
pub struct Emitted {
    /// The module's bytes.
    pub module: Module,
    /// For each function that has a body, the position of the body, counted from the start of the code section's
    /// contents.
    pub bodies: Vec<(FuncId, usize)>,
}

/// Writes the module, except for custom sections.
pub fn emit(
    graph: &Graph<'_>,
    reached: &Reached,
    exports: &[(String, FuncId)],
) -> Result<(Emitted, Layout), AdaptError> {
    let layout = Layout::new(graph, reached);
    let mut module = Module::new();
    types(graph, reached, &mut module)?;
    functions(graph, reached, &layout, &mut module)?;
    tables_and_memory(graph, reached, &mut module)?;
    globals(graph, reached, &layout, &mut module)?;
    export(exports, &layout, &mut module)?;
    elements(graph, reached, &layout, exports, &mut module)?;
    if reached.data_is_counted {
        module.section(&DataCountSection {
            count: reached.data.len() as u32,
        });
    }
    let bodies = code(graph, reached, &layout, &mut module)?;
    data(graph, reached, &layout, &mut module)?;
    Ok((Emitted { module, bodies }, layout))
}

/// How functions are named in the name section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Rust's names are demangled, without their hashes, because proxies do not demangle names in backtraces.
    Demangled,
    /// Names stay as they are, as in debug information.
    AsTheyAre,
}

/// Appends a name section with the names of the functions that are kept.
pub fn names(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    names: Names,
    module: &mut Module,
) {
    let mut by_index = Vec::new();
    for id in &reached.funcs {
        let name = graph.funcs[*id].name.as_deref();
        if let (Some(name), Ok(index)) = (name, layout.func(*id)) {
            let name = match rustc_demangle::try_demangle(name) {
                Ok(demangled) if names == Names::Demangled => Cow::Owned(format!("{demangled:#}")),
                _ => Cow::Borrowed(name),
            };
            by_index.push((index, name));
        }
    }
    by_index.sort_unstable();
    let mut functions = NameMap::new();
    for (index, name) in by_index {
        functions.append(index, &name);
    }
    let mut names = NameSection::new();
    names.functions(&functions);
    module.section(&names);
}

/// Appends a custom section.
pub fn custom(module: &mut Module, name: &str, data: &[u8]) {
    module.section(&CustomSection {
        name: Cow::Borrowed(name),
        data: Cow::Borrowed(data),
    });
}

// === impl Layout ===

impl Layout {
    fn new(graph: &Graph<'_>, reached: &Reached) -> Layout {
        let is_import = |id: &&FuncId| matches!(graph.funcs[**id].code, Code::Import { .. });
        let imports = reached.funcs.iter().filter(is_import);
        let defined = reached.funcs.iter().filter(|id| !is_import(id));
        Layout {
            types: places(reached.types.iter()),
            funcs: places(imports.chain(defined)),
            globals: places(reached.globals.iter()),
            tables: places(reached.tables.iter()),
            elements: places(reached.elements.iter()),
            data: places(reached.data.iter()),
        }
    }

    fn func(&self, id: FuncId) -> Result<u32, AdaptError> {
        place(&self.funcs, id)
    }

    /// Returns an instruction with identifiers replaced by indices.
    fn instruction(&self, to: Ref) -> Result<Instruction<'static>, AdaptError> {
        let ty = |id: TypeId| place(&self.types, id);
        let block = |id| Ok::<_, AdaptError>(wasm_encoder::BlockType::FunctionType(ty(id)?));
        let table = |id: TableId| place(&self.tables, id);
        let element = |id: ElementId| place(&self.elements, id);
        let data = |id: DataId| place(&self.data, id);
        let global = |id: GlobalId| place(&self.globals, id);
        Ok(match to {
            Ref::Call(id) => Instruction::Call(self.func(id)?),
            Ref::Func(id) => Instruction::RefFunc(self.func(id)?),
            Ref::CallIndirect(of, through) => Instruction::CallIndirect {
                type_index: ty(of)?,
                table_index: table(through)?,
            },
            Ref::Block(id) => Instruction::Block(block(id)?),
            Ref::Loop(id) => Instruction::Loop(block(id)?),
            Ref::If(id) => Instruction::If(block(id)?),
            Ref::GlobalGet(id) => Instruction::GlobalGet(global(id)?),
            Ref::GlobalSet(id) => Instruction::GlobalSet(global(id)?),
            Ref::TableGet(id) => Instruction::TableGet(table(id)?),
            Ref::TableSet(id) => Instruction::TableSet(table(id)?),
            Ref::TableSize(id) => Instruction::TableSize(table(id)?),
            Ref::TableGrow(id) => Instruction::TableGrow(table(id)?),
            Ref::TableFill(id) => Instruction::TableFill(table(id)?),
            Ref::TableCopy(to, from) => Instruction::TableCopy {
                src_table: table(from)?,
                dst_table: table(to)?,
            },
            Ref::TableInit(to, from) => Instruction::TableInit {
                elem_index: element(from)?,
                table: table(to)?,
            },
            Ref::ElemDrop(id) => Instruction::ElemDrop(element(id)?),
            Ref::MemoryInit(id) => Instruction::MemoryInit {
                mem: 0,
                data_index: data(id)?,
            },
            Ref::DataDrop(id) => Instruction::DataDrop(data(id)?),
        })
    }

    /// The length of an encoded instruction in bytes.
    pub fn width(&self, to: Ref) -> Result<usize, AdaptError> {
        let mut bytes = Vec::new();
        self.instruction(to)?.encode(&mut bytes);
        Ok(bytes.len())
    }

    fn constant(&self, constant: Const) -> Result<ConstExpr, AdaptError> {
        Ok(match constant {
            Const::I32(value) => ConstExpr::i32_const(value),
            Const::I64(value) => ConstExpr::i64_const(value),
            Const::F32(bits) => ConstExpr::f32_const(wasm_encoder::Ieee32::new(bits)),
            Const::F64(bits) => ConstExpr::f64_const(wasm_encoder::Ieee64::new(bits)),
            Const::V128(value) => ConstExpr::v128_const(value),
            Const::Null(ty) => {
                ConstExpr::ref_null(encoded(RoundtripReencoder.heap_type(ty.heap_type()))?)
            }
            Const::Func(id) => ConstExpr::ref_func(self.func(id)?),
        })
    }
}

fn places<'i, T: Copy + Eq + Hash + 'i>(ids: impl Iterator<Item = &'i T>) -> HashMap<T, u32> {
    ids.copied().zip(0..).collect()
}

fn place<T: Debug + Eq + Hash>(places: &HashMap<T, u32>, id: T) -> Result<u32, AdaptError> {
    places
        .get(&id)
        .copied()
        .ok_or_else(|| AdaptError::Internal {
            message: format!("{id:?} was taken for unused"),
        })
}

/// Unwraps a type that was converted for the encoder. Only types that contain type indices cannot be converted, and
/// validation rejects those.
fn encoded<T>(result: Result<T, wasm_encoder::reencode::Error>) -> Result<T, AdaptError> {
    result.map_err(|error| AdaptError::link("(all)", error.to_string()))
}

fn types(graph: &Graph<'_>, reached: &Reached, module: &mut Module) -> Result<(), AdaptError> {
    let mut section = TypeSection::new();
    for ty in reached.types.iter().map(|id| &graph.types[*id]) {
        section
            .ty()
            .func_type(&encoded(RoundtripReencoder.func_type(ty.clone()))?);
    }
    module.section(&section);
    Ok(())
}

fn functions(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    module: &mut Module,
) -> Result<(), AdaptError> {
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    for func in reached.funcs.iter().map(|id| &graph.funcs[*id]) {
        let ty = place(&layout.types, func.ty)?;
        match func.code {
            Code::Import { module, name } => {
                imports.import(module, name, EntityType::Function(ty));
            }
            Code::Raw { .. } | Code::Body(_) => {
                functions.function(ty);
            }
        }
    }
    module.section(&imports).section(&functions);
    Ok(())
}

fn tables_and_memory(
    graph: &Graph<'_>,
    reached: &Reached,
    module: &mut Module,
) -> Result<(), AdaptError> {
    if !reached.tables.is_empty() {
        let mut section = TableSection::new();
        for ty in reached.tables.iter().map(|id| &graph.tables[*id]) {
            section.table(encoded(RoundtripReencoder.table_type(*ty))?);
        }
        module.section(&section);
    }
    let mut section = MemorySection::new();
    for ty in &graph.memories {
        section.memory(encoded(RoundtripReencoder.memory_type(*ty))?);
    }
    module.section(&section);
    Ok(())
}

fn globals(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    module: &mut Module,
) -> Result<(), AdaptError> {
    if reached.globals.is_empty() {
        return Ok(());
    }
    let mut section = GlobalSection::new();
    for global in reached.globals.iter().map(|id| &graph.globals[*id]) {
        section.global(
            encoded(RoundtripReencoder.global_type(global.ty))?,
            &layout.constant(global.init)?,
        );
    }
    module.section(&section);
    Ok(())
}

fn export(
    exports: &[(String, FuncId)],
    layout: &Layout,
    module: &mut Module,
) -> Result<(), AdaptError> {
    let mut section = ExportSection::new();
    section.export(MEMORY, ExportKind::Memory, 0);
    for (name, id) in exports {
        section.export(name, ExportKind::Func, layout.func(*id)?);
    }
    module.section(&section);
    Ok(())
}

fn elements(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    exports: &[(String, FuncId)],
    module: &mut Module,
) -> Result<(), AdaptError> {
    // A function that is exported, an item of a segment, or the value of a global may be referred to without a
    // declaration.
    let mut declared: BTreeSet<FuncId> = exports.iter().map(|(_, id)| *id).collect();
    let globals = reached.globals.iter().map(|id| &graph.globals[*id]);
    declared.extend(globals.filter_map(|global| global.init.func()));

    let mut section = ElementSection::new();
    for element in reached.elements.iter().map(|id| &graph.elements[*id]) {
        match element.mode {
            ElementMode::Active { table, offset } => {
                let items = filled(graph, reached, element, table);
                declared.extend(items.iter().filter_map(Const::func));
                let items = self::items(element.ty, &items, layout)?;
                let table = place(&layout.tables, table)?;
                section.active(
                    (table != 0).then_some(table),
                    &layout.constant(offset)?,
                    items,
                );
            }
            ElementMode::Passive => {
                declared.extend(element.items.iter().filter_map(Const::func));
                section.passive(items(element.ty, &element.items, layout)?);
            }
            ElementMode::Declared => {
                declared.extend(element.items.iter().filter_map(Const::func));
                section.declared(items(element.ty, &element.items, layout)?);
            }
        }
    }
    let undeclared: Vec<_> = reached
        .referenced
        .difference(&declared)
        .map(|id| layout.func(*id))
        .collect::<Result<_, _>>()?;
    if !undeclared.is_empty() {
        section.declared(Elements::Functions(Cow::Owned(undeclared)));
    }
    if !section.is_empty() {
        module.section(&section);
    }
    Ok(())
}

/// The items of an active segment. A function that was removed is replaced by one whose type is never called through
/// the table, so that a call of it still traps, and for the same reason. This takes less space than a segment with null
/// items.
fn filled(graph: &Graph<'_>, reached: &Reached, element: &Element, table: TableId) -> Vec<Const> {
    let filler = reached
        .uncalled(graph, table)
        .map_or(Const::Null(element.ty), Const::Func);
    let or_filler = |item: &Const| match item.func() {
        Some(func) if !reached.funcs.contains(&func) => filler,
        _ => *item,
    };
    element.items.iter().map(or_filler).collect()
}

fn items(ty: RefType, items: &[Const], layout: &Layout) -> Result<Elements<'static>, AdaptError> {
    let funcs: Option<Vec<_>> = items.iter().map(Const::func).collect();
    Ok(match funcs.filter(|_| ty == RefType::FUNCREF) {
        Some(funcs) => {
            let funcs = funcs
                .into_iter()
                .map(|id| layout.func(id))
                .collect::<Result<Vec<_>, _>>()?;
            Elements::Functions(Cow::Owned(funcs))
        }
        None => {
            let ty = encoded(RoundtripReencoder.ref_type(ty))?;
            let items = items
                .iter()
                .map(|item| layout.constant(*item))
                .collect::<Result<Vec<_>, _>>()?;
            Elements::Expressions(ty, Cow::Owned(items))
        }
    })
}

fn code(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    module: &mut Module,
) -> Result<Vec<(FuncId, usize)>, AdaptError> {
    let bodies = reached
        .funcs
        .iter()
        .filter_map(|id| match &graph.funcs[*id].code {
            Code::Body(body) => Some((*id, body)),
            _ => None,
        });
    let mut section = CodeSection::new();
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    for (id, body) in bodies {
        bytes.clear();
        assemble(body, layout, &mut bytes)?;
        section.raw(&bytes);
        places.push((id, bytes.len()));
    }
    // The contents begin with the number of bodies, and each body is preceded by its length.
    let mut at = leb_len(places.len());
    for (_, place) in &mut places {
        let len = *place;
        at += leb_len(len);
        *place = at;
        at += len;
    }
    module.section(&section);
    Ok(places)
}

/// Encodes `body` with the instructions that were left out filled in.
fn assemble(body: &Body, layout: &Layout, into: &mut Vec<u8>) -> Result<(), AdaptError> {
    let mut done = 0;
    for (place, to) in &body.refs {
        into.extend_from_slice(body.bytes.get(done..*place).unwrap_or_default());
        layout.instruction(*to)?.encode(into);
        done = *place;
    }
    into.extend_from_slice(body.bytes.get(done..).unwrap_or_default());
    Ok(())
}

/// The length in bytes of the shortest LEB128 encoding of `value`.
pub fn leb_len(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

fn data(
    graph: &Graph<'_>,
    reached: &Reached,
    layout: &Layout,
    module: &mut Module,
) -> Result<(), AdaptError> {
    if reached.data.is_empty() {
        return Ok(());
    }
    let mut section = DataSection::new();
    for data in reached.data.iter().map(|id| &graph.data[*id]) {
        let bytes = data.bytes.iter().copied();
        match data.offset {
            Some(offset) => section.active(0, &layout.constant(offset)?, bytes),
            None => section.passive(bytes),
        };
    }
    module.section(&section);
    Ok(())
}
