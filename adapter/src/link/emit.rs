//! Gives everything that stays its place in one module, and writes that module.

use crate::error::AdaptError;
use crate::link::body::{Body, Ref, func_of};
use crate::link::graph::{
    Code, Const, DataId, Element, ElementId, ElementMode, FuncId, GlobalId, Graph, TableId, TypeId,
    unlinkable,
};
use crate::link::reach::Reached;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataCountSection, DataSection, ElementSection, Elements,
    Encode, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, ImportSection,
    Instruction, MemorySection, Module, NameMap, NameSection, TableSection, TypeSection,
};
use wasmparser::RefType;

/// The name under which the module exports its memory.
pub const MEMORY: &str = "memory";

/// Where everything went.
#[derive(Debug)]
pub struct Layout {
    types: HashMap<u32, u32>,
    funcs: HashMap<u32, u32>,
    globals: HashMap<u32, u32>,
    tables: HashMap<u32, u32>,
    elements: HashMap<u32, u32>,
    data: HashMap<u32, u32>,
}

/// The module, and where its code went.
#[derive(Debug)]
pub struct Emitted {
    /// The module's bytes.
    pub module: Module,
    /// For each function that has a body: where its code is, counted from the code section's contents.
    pub bodies: Vec<(FuncId, usize)>,
}

/// Writes the module: all sections but the custom ones.
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

/// Appends a name section with the names of the functions that stay.
pub fn names(graph: &Graph<'_>, reached: &Reached, layout: &Layout, module: &mut Module) {
    let mut by_index = Vec::new();
    for id in &reached.funcs {
        let name = graph
            .funcs
            .get(id.at())
            .and_then(|func| func.name.as_deref());
        if let (Some(name), Ok(index)) = (name, layout.func(*id)) {
            by_index.push((index, name));
        }
    }
    by_index.sort_unstable();
    let mut functions = NameMap::new();
    for (index, name) in by_index {
        functions.append(index, name);
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
        let is_import = |id: &&FuncId| {
            graph
                .funcs
                .get(id.at())
                .is_some_and(|func| matches!(func.code, Code::Import { .. }))
        };
        let imports = reached.funcs.iter().filter(is_import);
        let defined = reached.funcs.iter().filter(|id| !is_import(id));
        Layout {
            types: places(reached.types.iter().map(|id| id.0)),
            funcs: places(imports.chain(defined).map(|id| id.0)),
            globals: places(reached.globals.iter().map(|id| id.0)),
            tables: places(reached.tables.iter().map(|id| id.0)),
            elements: places(reached.elements.iter().map(|id| id.0)),
            data: places(reached.data.iter().map(|id| id.0)),
        }
    }

    fn func(&self, id: FuncId) -> Result<u32, AdaptError> {
        place(&self.funcs, id.0)
    }

    /// An instruction with everything in its place.
    fn instruction(&self, to: Ref) -> Result<Instruction<'static>, AdaptError> {
        let ty = |id: TypeId| place(&self.types, id.0);
        let block = |id| Ok::<_, AdaptError>(wasm_encoder::BlockType::FunctionType(ty(id)?));
        let table = |id: TableId| place(&self.tables, id.0);
        let element = |id: ElementId| place(&self.elements, id.0);
        let data = |id: DataId| place(&self.data, id.0);
        let global = |id: GlobalId| place(&self.globals, id.0);
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

    /// How many bytes an instruction takes.
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

fn places<T: Eq + Hash>(ids: impl Iterator<Item = T>) -> HashMap<T, u32> {
    ids.zip(0..).collect()
}

fn place(places: &HashMap<u32, u32>, id: u32) -> Result<u32, AdaptError> {
    places
        .get(&id)
        .copied()
        .ok_or_else(|| unlinkable("(all)", format!("item {id} was thought to be unused")))
}

/// A type in the encoder's terms. Only what refers to type indices has none, and validation let none in.
fn encoded<T>(result: Result<T, wasm_encoder::reencode::Error>) -> Result<T, AdaptError> {
    result.map_err(|error| unlinkable("(all)", error.to_string()))
}

fn types(graph: &Graph<'_>, reached: &Reached, module: &mut Module) -> Result<(), AdaptError> {
    let mut section = TypeSection::new();
    for ty in reached
        .types
        .iter()
        .filter_map(|id| graph.types.get(id.at()))
    {
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
    for func in reached
        .funcs
        .iter()
        .filter_map(|id| graph.funcs.get(id.at()))
    {
        let ty = place(&layout.types, func.ty.0)?;
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
        for ty in reached
            .tables
            .iter()
            .filter_map(|id| graph.tables.get(id.at()))
        {
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
    for global in reached
        .globals
        .iter()
        .filter_map(|id| graph.globals.get(id.at()))
    {
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
    // What is exported, or an item, or a global's value, needs no declaration to be referred to.
    let mut declared: BTreeSet<FuncId> = exports.iter().map(|(_, id)| *id).collect();
    let globals = reached
        .globals
        .iter()
        .filter_map(|id| graph.globals.get(id.at()));
    declared.extend(globals.filter_map(|global| func_of(&global.init)));

    let mut section = ElementSection::new();
    for element in reached
        .elements
        .iter()
        .filter_map(|id| graph.elements.get(id.at()))
    {
        match element.mode {
            ElementMode::Active { table, offset } => {
                let items = filled(graph, reached, element, table);
                declared.extend(items.iter().filter_map(func_of));
                let items = self::items(element.ty, &items, layout)?;
                let table = place(&layout.tables, table.0)?;
                section.active(
                    (table != 0).then_some(table),
                    &layout.constant(offset)?,
                    items,
                );
            }
            ElementMode::Passive => {
                declared.extend(element.items.iter().filter_map(func_of));
                section.passive(items(element.ty, &element.items, layout)?);
            }
            ElementMode::Declared => {
                declared.extend(element.items.iter().filter_map(func_of));
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

/// The items of a segment. In the place of a function that is gone is one of a type by which nothing is called, so that
/// a call still traps for the same reason; that takes less room than a segment with holes.
fn filled(graph: &Graph<'_>, reached: &Reached, element: &Element, table: TableId) -> Vec<Const> {
    let filler = reached
        .uncalled(graph, table)
        .map_or(Const::Null(element.ty), Const::Func);
    let or_filler = |item: &Const| match func_of(item) {
        Some(func) if !reached.funcs.contains(&func) => filler,
        _ => *item,
    };
    element.items.iter().map(or_filler).collect()
}

fn items(ty: RefType, items: &[Const], layout: &Layout) -> Result<Elements<'static>, AdaptError> {
    let funcs: Option<Vec<_>> = items.iter().map(func_of).collect();
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
    let bodies = reached.funcs.iter().filter_map(|id| {
        match graph.funcs.get(id.at()).map(|func| &func.code) {
            Some(Code::Body(body)) => Some((*id, body)),
            _ => None,
        }
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
    // Each body follows its length; all follow their count.
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

/// Fills the gaps of `body`.
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

/// How many bytes the shortest encoding of `value` takes.
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
    for data in reached.data.iter().filter_map(|id| graph.data.get(id.at())) {
        let bytes = data.bytes.iter().copied();
        match data.offset {
            Some(offset) => section.active(0, &layout.constant(offset)?, bytes),
            None => section.passive(bytes),
        };
    }
    module.section(&section);
    Ok(())
}
