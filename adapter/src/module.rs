//! Reads the sections of a core module into index spaces.
//!
//! Bodies and constant expressions stay encoded until they are needed, because most of a large module is read only
//! once.

use crate::ids::{FuncIndex, GlobalIndex, ImportIndex, MemoryIndex, TableIndex, TypeIndex};
use cranelift_entity::PrimaryMap;
use wasmparser::{
    BinaryReaderError as Error, ConstExpr, Data, Element, Export, ExternalKind, FuncType,
    FunctionBody, GlobalType, KnownCustom, MemoryType, Name, Parser, Payload, Table, TableType,
    TypeRef,
};

/// A core module.
#[derive(Default)]
pub struct Module<'a> {
    /// Function types.
    pub types: PrimaryMap<TypeIndex, FuncType>,
    /// Imports, in order.
    pub imports: PrimaryMap<ImportIndex, Import<'a>>,
    /// The type of every function, imported ones first.
    pub funcs: PrimaryMap<FuncIndex, TypeIndex>,
    /// Every table, imported ones first.
    pub tables: PrimaryMap<TableIndex, TableDef<'a>>,
    /// Every memory, imported ones first.
    pub memories: PrimaryMap<MemoryIndex, MemoryType>,
    /// Every global, imported ones first. Defined globals have an initial value.
    pub globals: PrimaryMap<GlobalIndex, (GlobalType, Option<ConstExpr<'a>>)>,
    /// Exports, in order.
    pub exports: Vec<Export<'a>>,
    /// The start function.
    pub start: Option<FuncIndex>,
    /// Element segments.
    pub elements: Vec<Element<'a>>,
    /// Data segments.
    pub data: Vec<Data<'a>>,
    /// Bodies of the defined functions.
    pub bodies: Vec<FunctionBody<'a>>,
    /// Names of functions.
    pub func_names: Vec<(u32, &'a str)>,
    /// Names of globals.
    pub global_names: Vec<(u32, &'a str)>,
    /// Custom sections, by name.
    pub customs: Vec<(&'a str, &'a [u8])>,
    /// How many bytes each part takes.
    pub sizes: Sizes,
    /// How many functions, tables, memories and globals are imported.
    pub imported: Counts,
    /// The offset in the module at which the code section's contents begin.
    pub code_start: usize,
}

/// A table, with its initialiser expression if it has one.
#[derive(Debug)]
pub struct TableDef<'a> {
    /// Its type.
    pub ty: TableType,
    /// The initial value of every slot, if it is not null.
    pub init: Option<ConstExpr<'a>>,
}

/// An import.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// The module it comes from.
    pub module: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub ty: TypeRef,
}

/// The number of items of each kind.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Functions.
    pub funcs: usize,
    /// Tables.
    pub tables: usize,
    /// Memories.
    pub memories: usize,
    /// Globals.
    pub globals: usize,
}

/// Sizes in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sizes {
    /// Code section.
    pub code: usize,
    /// Data section.
    pub data: usize,
    /// Name section.
    pub names: usize,
    /// Other custom sections.
    pub customs: usize,
    /// Everything.
    pub total: usize,
}

// === impl Module ===

impl<'a> Module<'a> {
    /// Reads a module, which has been validated: an index that no module can have would not fit.
    pub fn read(bytes: &'a [u8]) -> Result<Module<'a>, Error> {
        let mut module = Module {
            sizes: Sizes {
                total: bytes.len(),
                ..Sizes::default()
            },
            ..Module::default()
        };
        for payload in Parser::new(0).parse_all(bytes) {
            module.section(payload?)?;
        }
        Ok(module)
    }

    /// The type of a function.
    pub fn func_type(&self, func: FuncIndex) -> Option<&FuncType> {
        self.types.get(*self.funcs.get(func)?)
    }

    /// The imported functions. Their indices come before those of defined functions.
    pub fn imported_funcs(&self) -> impl Iterator<Item = (ImportIndex, &Import<'a>)> {
        let imports = self.imports.iter();
        imports.filter(|(_, import)| matches!(import.ty, TypeRef::Func(_)))
    }

    /// The import that a function is, if it is imported.
    pub fn import_of_func(&self, func: FuncIndex) -> Option<ImportIndex> {
        let import = self.imported_funcs().nth(func.as_u32() as usize);
        import.map(|(import, _)| import)
    }

    /// The exported function with that name.
    pub fn exported_func(&self, name: &str) -> Option<FuncIndex> {
        let is_it = |export: &&Export<'_>| export.name == name && export.kind == ExternalKind::Func;
        let export = self.exports.iter().find(is_it);
        export.map(|export| FuncIndex::from_u32(export.index))
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.funcs.push(TypeIndex::from_u32(ty?));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let Table { ty, init } = table?;
                    let init = match init {
                        wasmparser::TableInit::RefNull => None,
                        wasmparser::TableInit::Expr(expr) => Some(expr),
                    };
                    self.tables.push(TableDef { ty, init });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    self.globals.push((global.ty, Some(global.init_expr)));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?);
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(FuncIndex::from_u32(func)),
            Payload::ElementSection(section) => {
                for element in section {
                    self.elements.push(element?);
                }
            }
            Payload::DataSection(section) => {
                self.sizes.data = section.range().len();
                for data in section {
                    self.data.push(data?);
                }
            }
            Payload::CodeSectionStart { range, .. } => {
                self.sizes.code = range.len();
                self.code_start = range.start;
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.sizes.names = section.data().len();
                    // A malformed name section does not make the module invalid. What cannot be read is ignored.
                    for name in names.into_iter().map_while(Result::ok) {
                        match name {
                            Name::Function(map) => {
                                let names = map.into_iter().map_while(Result::ok);
                                self.func_names
                                    .extend(names.map(|naming| (naming.index, naming.name)));
                            }
                            Name::Global(map) => {
                                let names = map.into_iter().map_while(Result::ok);
                                self.global_names
                                    .extend(names.map(|naming| (naming.index, naming.name)));
                            }
                            _ => {}
                        }
                    }
                } else {
                    self.sizes.customs += section.data().len();
                    self.customs.push((section.name(), section.data()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'a>) {
        let wasmparser::Import { module, name, ty } = import;
        match ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.funcs.push(TypeIndex::from_u32(ty));
                self.imported.funcs += 1;
            }
            TypeRef::Table(ty) => {
                self.tables.push(TableDef { ty, init: None });
                self.imported.tables += 1;
            }
            TypeRef::Memory(ty) => {
                self.memories.push(ty);
                self.imported.memories += 1;
            }
            TypeRef::Global(ty) => {
                self.globals.push((ty, None));
                self.imported.globals += 1;
            }
            TypeRef::Tag(_) => {}
        }
        self.imports.push(Import { module, name, ty });
    }
}
