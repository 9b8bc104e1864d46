//! Dead code elimination over the whole graph: only what the module's exports reach is kept.
//!
//! A table that is reached keeps those of its functions alive whose type is called through it. A call of any other type
//! traps whether the function is there or not. Data that is written at instantiation is kept, because it is not known
//! which code reads it.

use crate::error::AdaptError;
use crate::link::body::Ref;
use crate::link::decode;
use crate::link::graph::{Code, Const, ElementMode, Graph};
use crate::link::ids::{DataId, ElementId, FuncId, GlobalId, TableId, TypeId};
use crate::link::resolve::Resolved;
use std::collections::BTreeSet;

/// What is kept, each in the order of its identifiers.
#[derive(Debug, Default)]
pub struct Reached {
    /// Types.
    pub types: BTreeSet<TypeId>,
    /// Functions.
    pub funcs: BTreeSet<FuncId>,
    /// Globals.
    pub globals: BTreeSet<GlobalId>,
    /// Tables.
    pub tables: BTreeSet<TableId>,
    /// Element segments.
    pub elements: BTreeSet<ElementId>,
    /// Data segments.
    pub data: BTreeSet<DataId>,
    /// Functions that a body refers to by `ref.func`, which must be declared.
    pub referenced: BTreeSet<FuncId>,
    /// Whether a body refers to a data segment, which requires a data count section.
    pub data_is_counted: bool,
    /// The types that are called through each table.
    called: BTreeSet<(TableId, TypeId)>,
    /// Tables that are used for more than calls, and whose functions are therefore all kept.
    open: BTreeSet<TableId>,
    left: Vec<FuncId>,
}

/// Finds everything that the module's exports reach. Bodies are decoded as they are reached.
pub fn reach(resolved: &mut Resolved<'_>, keep_offsets: bool) -> Result<Reached, AdaptError> {
    let mut reached = Reached::default();
    for (id, data) in resolved.graph.data.iter() {
        if data.offset.is_some() {
            reached.data.insert(id);
        }
    }
    for (_, root) in &resolved.exports {
        reached.func(*root);
    }
    while let Some(id) = reached.left.pop() {
        decode(resolved, id, keep_offsets)?;
        let func = &resolved.graph.funcs[id];
        reached.types.insert(func.ty);
        let Code::Body(body) = &func.code else {
            continue;
        };
        for (_, to) in &body.refs {
            reached.refer(&resolved.graph, *to);
        }
    }
    Ok(reached)
}

fn decode(resolved: &mut Resolved<'_>, id: FuncId, keep_offsets: bool) -> Result<(), AdaptError> {
    let Code::Raw { input, body } = &resolved.graph.funcs[id].code else {
        return Ok(());
    };
    let (input, body) = (*input, body.clone());
    let Some(input) = &mut resolved.inputs[input] else {
        return Err(AdaptError::Internal {
            message: "a function of a core module that is gone is called".to_owned(),
        });
    };
    let guard = resolved.guarded.contains(&id).then_some(resolved.prologue);
    let body = decode::decode(&mut resolved.graph, input, &body, guard, keep_offsets)?;
    resolved.graph.funcs[id].code = Code::Body(body);
    Ok(())
}

// === impl Reached ===

impl Reached {
    /// Returns a function that is kept and whose type is never called through `table`.
    pub fn uncalled(&self, graph: &Graph<'_>, table: TableId) -> Option<FuncId> {
        let is_uncalled = |id: &&FuncId| !self.called.contains(&(table, graph.funcs[**id].ty));
        self.funcs.iter().find(is_uncalled).copied()
    }

    fn func(&mut self, id: FuncId) {
        if self.funcs.insert(id) {
            self.left.push(id);
        }
    }

    fn refer(&mut self, graph: &Graph<'_>, to: Ref) {
        match to {
            Ref::Call(func) => self.func(func),
            Ref::Func(func) => {
                self.referenced.insert(func);
                self.func(func);
            }
            Ref::CallIndirect(ty, table) => {
                self.types.insert(ty);
                self.table(graph, table);
                if self.called.insert((table, ty)) {
                    self.items(graph, table);
                }
            }
            Ref::Block(ty) | Ref::Loop(ty) | Ref::If(ty) => {
                self.types.insert(ty);
            }
            Ref::GlobalGet(global) | Ref::GlobalSet(global) => self.global(graph, global),
            Ref::TableSize(table) => self.table(graph, table),
            Ref::TableGet(table)
            | Ref::TableSet(table)
            | Ref::TableGrow(table)
            | Ref::TableFill(table) => self.open_table(graph, table),
            Ref::TableCopy(to, from) => {
                self.open_table(graph, to);
                self.open_table(graph, from);
            }
            Ref::TableInit(table, element) => {
                self.open_table(graph, table);
                self.element(graph, element);
            }
            Ref::ElemDrop(element) => self.element(graph, element),
            Ref::MemoryInit(data) | Ref::DataDrop(data) => {
                self.data.insert(data);
                self.data_is_counted = true;
            }
        }
    }

    fn global(&mut self, graph: &Graph<'_>, id: GlobalId) {
        if !self.globals.insert(id) {
            return;
        }
        if let Some(func) = graph.globals[id].init.func() {
            self.func(func);
        }
    }

    fn table(&mut self, graph: &Graph<'_>, id: TableId) {
        if !self.tables.insert(id) {
            return;
        }
        for (element, segment) in graph.elements.iter() {
            if matches!(segment.mode, ElementMode::Active { table, .. } if table == id) {
                self.element(graph, element);
            }
        }
    }

    /// Reaches a table whose slots are read or written: any of its functions may be called or compared anywhere.
    fn open_table(&mut self, graph: &Graph<'_>, id: TableId) {
        self.table(graph, id);
        if self.open.insert(id) {
            self.items(graph, id);
        }
    }

    /// Reaches the functions of a table that can be called, after this has changed.
    fn items(&mut self, graph: &Graph<'_>, id: TableId) {
        for element in graph.elements.values() {
            if !matches!(element.mode, ElementMode::Active { table, .. } if table == id) {
                continue;
            }
            for func in element.items.iter().filter_map(Const::func) {
                let is_called = self.called.contains(&(id, graph.funcs[func].ty));
                if is_called || self.open.contains(&id) {
                    self.func(func);
                }
            }
        }
    }

    fn element(&mut self, graph: &Graph<'_>, id: ElementId) {
        if !self.elements.insert(id) {
            return;
        }
        let element = &graph.elements[id];
        match element.mode {
            ElementMode::Active { table, .. } => self.table(graph, table),
            ElementMode::Passive | ElementMode::Declared => {
                for func in element.items.iter().filter_map(Const::func) {
                    self.func(func);
                }
            }
        }
    }
}
