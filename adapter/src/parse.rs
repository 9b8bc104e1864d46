//! The pass that takes a component apart. It validates the file, runs `wasmtime_environ`'s translator, and converts the
//! result to the IR in `component`.
//!
//! The translator implements the component model as wasmtime runs it: it follows instantiations, aliases and resource
//! identities, and produces a linear list of initialisers. It is not a public interface of wasmtime, so its version is
//! pinned and it is used in this file only. It does not validate function bodies, so the whole file is validated first.
//! What the names mean is determined in `classify`.

mod bounds;
mod validate;

use crate::component::{
    Component, Def, Function, Instance, Interface, Item, Lift, Lowering, Obstacle, Resource,
    ResourceRef,
};
use crate::error::AdaptError;
use crate::ids::{
    FuncIndex, GlobalIndex, InstanceId, LoweringId, MemoryIndex, ModuleId, ResourceId, TableIndex,
};
use crate::name::Name;
use crate::types::{CoreTy, FuncTy, Signature, Ty};
use cranelift_entity::PrimaryMap;
use std::collections::{BTreeMap, HashMap};
use validate::{COMPONENTS, CORE};
use wasmparser::{Validator, WasmFeatures};
use wasmtime_environ::component::{
    self as environ, CanonicalOptions, CanonicalOptionsDataModel, ComponentTranslation,
    ComponentTypes, ComponentTypesBuilder, CoreDef, Export, ExportItem, GlobalInitializer,
    InstantiateModule, InterfaceType, OptionsIndex, ResourceIndex, RuntimeImportIndex, Trampoline,
    TrampolineIndex, Translator, TypeDef, TypeFuncIndex, TypeResourceTable, TypeResourceTableIndex,
};
use wasmtime_environ::{EntityIndex, ScopeVec, Tunables};

/// Takes `bytes` apart.
pub fn parse(bytes: &[u8]) -> Result<Component<'_>, AdaptError> {
    validate::validate(bytes)?;
    bounds::check(bytes)?;

    let mut tunables = Tunables::default_u32();
    tunables.concurrency_support = validate::is_async(bytes);
    // The adapters between composed components use two memories. Such a component is rejected below, with a better
    // message.
    let features = CORE | COMPONENTS | WasmFeatures::MULTI_MEMORY;
    let mut validator = Validator::new_with_features(features);
    let mut types = ComponentTypesBuilder::new(&validator);
    let scope = ScopeVec::new();
    let translated =
        Translator::new(&tunables, &mut validator, &mut types, &scope).translate(bytes);
    let (translation, modules) = translated.map_err(|error| AdaptError::Translate {
        message: format!("{error:#}"),
    })?;
    let (types, _) = types.finish(&translation.component);

    let mut slices = PrimaryMap::new();
    for (_, module) in modules.iter() {
        // Modules that the translator generated are not in `bytes`; `instances` rejects a component that instantiates
        // one.
        let start = usize::try_from(module.wasm_module_offset).unwrap_or(usize::MAX);
        let slice = start
            .checked_add(module.wasm.len())
            .and_then(|end| bytes.get(start..end));
        slices.push(slice.unwrap_or_default());
    }

    let mut reading = Reading {
        translation: &translation,
        types: &types,
        resources: HashMap::new(),
    };
    let mut resources = reading.resources();
    let exports = reading.exports(&mut resources)?;
    let lowerings = reading.lowerings()?;
    let component = Component {
        modules: slices,
        instances: reading.instances()?,
        imports: reading.imports()?,
        exports,
        resources: reading.destructors(resources)?,
        lowerings,
    };
    component.check()?;
    Ok(component)
}

/// The translator's output while it is being read.
struct Reading<'t> {
    translation: &'t ComponentTranslation,
    types: &'t ComponentTypes,
    /// Names of all resources, imported and defined.
    resources: HashMap<ResourceIndex, Name>,
}

// === impl Reading ===

impl Reading<'_> {
    fn component(&self) -> &environ::Component {
        &self.translation.component
    }

    /// Names the imported resources and makes room for those that the component defines.
    fn resources(&mut self) -> PrimaryMap<ResourceId, Resource> {
        for (index, import) in self.translation.component.imported_resources.iter() {
            let name = self.import_name(*import);
            self.resources.insert(index, name);
        }
        let defined = self.component().defined_resource_instances.len();
        (0..defined)
            .map(|_| Resource {
                name: None,
                dtor: None,
            })
            .collect()
    }

    fn import_name(&self, import: RuntimeImportIndex) -> Name {
        let (import, path) = &self.component().imports[import];
        let (outer, _) = &self.component().import_types[*import];
        match path.as_slice() {
            [] => Name {
                interface: String::new(),
                item: outer.clone(),
            },
            path => Name {
                interface: outer.clone(),
                item: path.join("/"),
            },
        }
    }

    fn imports(&self) -> Result<BTreeMap<String, Interface>, AdaptError> {
        let mut interfaces = BTreeMap::<String, Interface>::new();
        for (_, (name, item)) in self.component().import_types.iter() {
            match item.ty {
                TypeDef::ComponentInstance(instance) => {
                    let interface = interfaces.entry(name.clone()).or_default();
                    for (item, ty) in self.types[instance].exports.iter() {
                        if let TypeDef::ComponentFunc(ty) = ty.ty {
                            let function = Function {
                                ty: self.func(ty),
                                lift: None,
                            };
                            interface.functions.insert(item.clone(), function);
                        }
                    }
                }
                TypeDef::ComponentFunc(ty) => {
                    let function = Function {
                        ty: self.func(ty),
                        lift: None,
                    };
                    interfaces
                        .entry(String::new())
                        .or_default()
                        .functions
                        .insert(name.clone(), function);
                }
                TypeDef::Module(_) | TypeDef::CoreFunc(_) | TypeDef::Component(_) => {
                    let name = Name {
                        interface: name.clone(),
                        item: item.ty.desc().to_owned(),
                    };
                    return Err(AdaptError::unsupported(
                        "imports",
                        &name,
                        "a proxy cannot provide",
                        "put what it needs into the component itself",
                    ));
                }
                TypeDef::Interface(_) | TypeDef::Resource(_) => {}
            }
        }
        Ok(interfaces)
    }

    fn exports(
        &mut self,
        resources: &mut PrimaryMap<ResourceId, Resource>,
    ) -> Result<BTreeMap<String, Interface>, AdaptError> {
        let translation = self.translation;
        let mut interfaces = BTreeMap::<String, Interface>::new();
        let mut instances = Vec::new();
        for (name, (index, _)) in translation.component.exports.raw_iter() {
            match &translation.component.export_items[*index] {
                Export::Instance { exports, .. } => instances.push((name.to_string(), exports)),
                Export::LiftedFunction { ty, func, options } => {
                    let name = Name {
                        interface: String::new(),
                        item: name.to_string(),
                    };
                    let function = self.lifted(*ty, func, *options)?;
                    interfaces
                        .entry(name.interface)
                        .or_default()
                        .functions
                        .insert(name.item, function);
                }
                Export::ModuleStatic { .. } | Export::ModuleImport { .. } => {
                    let name = Name {
                        interface: name.to_string(),
                        item: "core module".to_owned(),
                    };
                    return Err(AdaptError::unsupported(
                        "exports",
                        &name,
                        "no proxy makes use of",
                        "remove it from the component",
                    ));
                }
                Export::Type(_) => {}
            }
        }
        // Resources come first, because the types of functions refer to them. An interface that only uses another's
        // resource comes after that interface.
        for (interface, exports) in &instances {
            for (item, (index, _)) in exports.raw_iter() {
                let Export::Type(TypeDef::Resource(table)) =
                    translation.component.export_items[*index]
                else {
                    continue;
                };
                let name = Name {
                    interface: interface.clone(),
                    item: item.to_string(),
                };
                self.name_resource(table, &name, resources);
            }
        }
        for (interface, exports) in instances {
            let functions = &mut interfaces.entry(interface.clone()).or_default().functions;
            for (item, (index, _)) in exports.raw_iter() {
                let name = Name {
                    interface: interface.clone(),
                    item: item.to_string(),
                };
                match &translation.component.export_items[*index] {
                    Export::LiftedFunction { ty, func, options } => {
                        functions.insert(name.item.clone(), self.lifted(*ty, func, *options)?);
                    }
                    Export::Type(_) => {}
                    _ => {
                        return Err(AdaptError::unsupported(
                            "exports",
                            &name,
                            "is neither a function nor a type",
                            "remove it from the component",
                        ));
                    }
                }
            }
        }
        Ok(interfaces)
    }

    fn name_resource(
        &mut self,
        table: TypeResourceTableIndex,
        name: &Name,
        resources: &mut PrimaryMap<ResourceId, Resource>,
    ) {
        let TypeResourceTable::Concrete { ty, .. } = self.types[table] else {
            return;
        };
        self.resources.entry(ty).or_insert_with(|| name.clone());
        let defined = self
            .component()
            .defined_resource_index(ty)
            .map(|index| ResourceId::from_u32(index.as_u32()));
        if let Some(resource) = defined.and_then(|index| resources.get_mut(index)) {
            resource.name.get_or_insert_with(|| name.clone());
        }
    }

    fn lifted(
        &self,
        ty: TypeFuncIndex,
        func: &CoreDef,
        options: OptionsIndex,
    ) -> Result<Function, AdaptError> {
        let (options, obstacle) = self.options(options);
        let post_return = match options.post_return {
            Some(wanted) => self.initializers(|init| match init {
                GlobalInitializer::ExtractPostReturn(extract) if extract.index == wanted => {
                    Some(&extract.def)
                }
                _ => None,
            }),
            None => None,
        };
        let lift = Lift {
            func: self.def(func)?,
            post_return: post_return.map(|def| self.def(def)).transpose()?,
            realloc: self.realloc(options)?,
            obstacle,
        };
        Ok(Function {
            ty: self.func(ty),
            lift: Some(lift),
        })
    }

    fn initializers<'a, T>(
        &'a self,
        find: impl Fn(&'a GlobalInitializer) -> Option<T>,
    ) -> Option<T> {
        self.component().initializers.iter().find_map(find)
    }

    fn options(&self, options: OptionsIndex) -> (&CanonicalOptions, Option<Obstacle>) {
        let options = &self.component().options[options];
        let obstacle = match options.string_encoding {
            _ if options.async_ || options.callback.is_some() => Some(Obstacle::Async),
            environ::StringEncoding::Utf8 => None,
            environ::StringEncoding::Utf16 => Some(Obstacle::Strings("UTF-16")),
            environ::StringEncoding::CompactUtf16 => Some(Obstacle::Strings("Latin-1 or UTF-16")),
        };
        (options, obstacle)
    }

    fn realloc(&self, options: &CanonicalOptions) -> Result<Option<Def>, AdaptError> {
        let CanonicalOptionsDataModel::LinearMemory(memory) = options.data_model else {
            return Ok(None);
        };
        let Some(wanted) = memory.realloc else {
            return Ok(None);
        };
        let realloc = self.initializers(|init| match init {
            GlobalInitializer::ExtractRealloc(extract) if extract.index == wanted => {
                Some(&extract.def)
            }
            _ => None,
        });
        realloc.map(|def| self.def(def)).transpose()
    }

    fn lowerings(&self) -> Result<PrimaryMap<LoweringId, Lowering>, AdaptError> {
        let mut imports = HashMap::new();
        for init in &self.component().initializers {
            if let GlobalInitializer::LowerImport { index, import } = init {
                imports.insert(*index, *import);
            }
        }
        let mut lowerings = Vec::new();
        for (_, trampoline) in self.translation.trampolines.iter() {
            let Trampoline::LowerImport {
                index,
                lower_ty,
                options,
            } = trampoline
            else {
                continue;
            };
            let name = match imports.get(index) {
                Some(import) => self.import_name(*import),
                None => {
                    return Err(AdaptError::Translate {
                        message: "a lowered import has no name".to_owned(),
                    });
                }
            };
            let (options, obstacle) = self.options(*options);
            let signature = self.signature(options.core_type);
            lowerings.push((
                *index,
                Lowering {
                    name,
                    ty: self.func(*lower_ty),
                    signature,
                    realloc: self.realloc(options)?,
                    obstacle,
                },
            ));
        }
        lowerings.sort_by_key(|(index, _)| index.as_u32());
        // `trampoline` relies on the translator's own indices.
        let indices = lowerings.iter().map(|(index, _)| index.as_u32());
        if !indices.eq(0..lowerings.len() as u32) {
            return Err(AdaptError::Internal {
                message: "the indices of lowered imports are not consecutive".to_owned(),
            });
        }
        let lowerings = lowerings.into_iter();
        Ok(lowerings.map(|(_, lowering)| lowering).collect())
    }

    fn signature(&self, ty: wasmtime_environ::ModuleInternedTypeIndex) -> Signature {
        let Some(func) = self.types.module_types()[ty].as_func() else {
            return Signature {
                params: vec![CoreTy::Other],
                results: Vec::new(),
            };
        };
        let convert = |types: &[wasmtime_environ::WasmValType]| types.iter().map(core_ty).collect();
        Signature {
            params: convert(func.params()),
            results: convert(func.results()),
        }
    }

    fn instances(&self) -> Result<PrimaryMap<InstanceId, Instance>, AdaptError> {
        let mut instances = PrimaryMap::new();
        for init in &self.component().initializers {
            match init {
                GlobalInitializer::InstantiateModule(_, None) => {
                    return Err(AdaptError::Composed {
                        what: "functions pass values between them",
                    });
                }
                GlobalInitializer::InstantiateModule(
                    InstantiateModule::Static(module, imports),
                    Some(_),
                ) => {
                    let imports = imports
                        .iter()
                        .map(|def| self.def(def))
                        .collect::<Result<_, _>>()?;
                    instances.push(Instance {
                        module: ModuleId::from_u32(module.as_u32()),
                        imports,
                    });
                }
                GlobalInitializer::InstantiateModule(InstantiateModule::Import(..), _) => {
                    return Err(AdaptError::Translate {
                        message: "it imports a core module".to_owned(),
                    });
                }
                _ => {}
            }
        }
        Ok(instances)
    }

    fn destructors(
        &self,
        mut resources: PrimaryMap<ResourceId, Resource>,
    ) -> Result<PrimaryMap<ResourceId, Resource>, AdaptError> {
        for init in &self.component().initializers {
            let GlobalInitializer::Resource(environ::Resource {
                index,
                dtor: Some(dtor),
                ..
            }) = init
            else {
                continue;
            };
            let id = ResourceId::from_u32(index.as_u32());
            match resources.get_mut(id) {
                Some(resource) => resource.dtor = Some(self.def(dtor)?),
                None => {
                    return Err(AdaptError::Internal {
                        message: "a resource has a destructor and is not defined".to_owned(),
                    });
                }
            }
        }
        Ok(resources)
    }

    fn def(&self, def: &CoreDef) -> Result<Def, AdaptError> {
        match def {
            CoreDef::Export(export) => {
                let ExportItem::Index(index) = &export.item else {
                    return Err(AdaptError::Translate {
                        message: "it takes an item of a core module by name".to_owned(),
                    });
                };
                let item = match index {
                    EntityIndex::Function(index) => Item::Func(FuncIndex::from_u32(index.as_u32())),
                    EntityIndex::Table(index) => Item::Table(TableIndex::from_u32(index.as_u32())),
                    EntityIndex::Memory(index) => {
                        Item::Memory(MemoryIndex::from_u32(index.as_u32()))
                    }
                    EntityIndex::Global(index) => {
                        Item::Global(GlobalIndex::from_u32(index.as_u32()))
                    }
                    EntityIndex::Tag(_) => {
                        return Err(AdaptError::Feature {
                            message: "exceptions".to_owned(),
                            offset: 0,
                        });
                    }
                };
                Ok(Def::Item {
                    instance: InstanceId::from_u32(export.instance.as_u32()),
                    item,
                })
            }
            CoreDef::Trampoline(index) => self.trampoline(*index),
            CoreDef::TaskMayBlock => Ok(Def::Async("task may block".to_owned())),
            CoreDef::InstanceFlags(_) => Err(AdaptError::Composed {
                what: "they have instance flags",
            }),
            CoreDef::UnsafeIntrinsic(_) => Ok(Def::Async("context.get or context.set".to_owned())),
        }
    }

    fn trampoline(&self, index: TrampolineIndex) -> Result<Def, AdaptError> {
        let resource = |table: &TypeResourceTableIndex| match &self.types[*table] {
            TypeResourceTable::Concrete { ty, .. } => Ok(*ty),
            TypeResourceTable::Abstract(_) => Err(AdaptError::Translate {
                message: "it uses a resource that is not defined".to_owned(),
            }),
        };
        let defined = |index: ResourceIndex| match self.component().defined_resource_index(index) {
            Some(index) => Ok(ResourceId::from_u32(index.as_u32())),
            None => Err(AdaptError::Translate {
                message: "it creates a resource that it imports".to_owned(),
            }),
        };
        match &self.translation.trampolines[index] {
            Trampoline::LowerImport { index, .. } => {
                Ok(Def::Lowered(LoweringId::from_u32(index.as_u32())))
            }
            Trampoline::ResourceNew { ty, .. } => Ok(Def::ResourceNew(defined(resource(ty)?)?)),
            Trampoline::ResourceRep { ty, .. } => Ok(Def::ResourceRep(defined(resource(ty)?)?)),
            Trampoline::ResourceDrop { ty, .. } => {
                let index = resource(ty)?;
                Ok(Def::ResourceDrop(
                    match self.component().defined_resource_index(index) {
                        Some(index) => ResourceRef::Defined(ResourceId::from_u32(index.as_u32())),
                        None => ResourceRef::Imported(self.resource_name(index)),
                    },
                ))
            }
            Trampoline::Transcoder { .. }
            | Trampoline::ResourceTransferOwn
            | Trampoline::ResourceTransferBorrow
            | Trampoline::EnterSyncCall
            | Trampoline::ExitSyncCall => Err(AdaptError::Composed {
                what: "functions pass values between them",
            }),
            other => Ok(Def::Async(other.symbol_name())),
        }
    }

    fn resource_name(&self, index: ResourceIndex) -> Name {
        let unnamed = || Name {
            interface: String::new(),
            item: format!("resource {}", index.as_u32()),
        };
        self.resources.get(&index).cloned().unwrap_or_else(unnamed)
    }

    fn func(&self, ty: TypeFuncIndex) -> FuncTy {
        let func = &self.types[ty];
        let params = self.types[func.params].types.iter().map(|ty| self.ty(ty));
        FuncTy {
            is_async: func.async_,
            params: func.param_names.iter().cloned().zip(params).collect(),
            result: self.types[func.results].types.first().map(|ty| self.ty(ty)),
        }
    }

    fn ty(&self, ty: &InterfaceType) -> Ty {
        let types = self.types;
        let boxed = |ty: &Option<InterfaceType>| ty.as_ref().map(|ty| Box::new(self.ty(ty)));
        let handle = |table: &TypeResourceTableIndex| match &types[*table] {
            TypeResourceTable::Concrete { ty, .. } => self.resource_name(*ty),
            TypeResourceTable::Abstract(_) => Name {
                interface: String::new(),
                item: "abstract".to_owned(),
            },
        };
        match ty {
            InterfaceType::Bool => Ty::Primitive("bool"),
            InterfaceType::S8 => Ty::Primitive("s8"),
            InterfaceType::U8 => Ty::Primitive("u8"),
            InterfaceType::S16 => Ty::Primitive("s16"),
            InterfaceType::U16 => Ty::Primitive("u16"),
            InterfaceType::S32 => Ty::Primitive("s32"),
            InterfaceType::U32 => Ty::Primitive("u32"),
            InterfaceType::S64 => Ty::Primitive("s64"),
            InterfaceType::U64 => Ty::Primitive("u64"),
            InterfaceType::Float32 => Ty::Primitive("f32"),
            InterfaceType::Float64 => Ty::Primitive("f64"),
            InterfaceType::Char => Ty::Primitive("char"),
            InterfaceType::String => Ty::Primitive("string"),
            InterfaceType::Record(index) => Ty::Record(
                types[*index]
                    .fields
                    .iter()
                    .map(|f| (f.name.clone(), self.ty(&f.ty)))
                    .collect(),
            ),
            InterfaceType::Variant(index) => {
                let cases = types[*index].cases.iter();
                Ty::Variant(
                    cases
                        .map(|(name, ty)| (name.clone(), ty.as_ref().map(|ty| self.ty(ty))))
                        .collect(),
                )
            }
            InterfaceType::List(index) => Ty::List(Box::new(self.ty(&types[*index].element))),
            InterfaceType::Tuple(index) => {
                Ty::Tuple(types[*index].types.iter().map(|ty| self.ty(ty)).collect())
            }
            InterfaceType::Flags(index) => Ty::Flags(types[*index].names.iter().cloned().collect()),
            InterfaceType::Enum(index) => Ty::Enum(types[*index].names.iter().cloned().collect()),
            InterfaceType::Option(index) => Ty::Option(Box::new(self.ty(&types[*index].ty))),
            InterfaceType::Result(index) => {
                Ty::Result(boxed(&types[*index].ok), boxed(&types[*index].err))
            }
            InterfaceType::Own(table) => Ty::Own(handle(table)),
            InterfaceType::Borrow(table) => Ty::Borrow(handle(table)),
            InterfaceType::FixedLengthList(_) => Ty::Other("list of fixed length"),
            InterfaceType::Map(_) => Ty::Other("map"),
            InterfaceType::Future(_) => Ty::Other("future"),
            InterfaceType::Stream(_) => Ty::Other("stream"),
            InterfaceType::ErrorContext(_) => Ty::Other("error-context"),
        }
    }
}

fn core_ty(ty: &wasmtime_environ::WasmValType) -> CoreTy {
    match ty {
        wasmtime_environ::WasmValType::I32 => CoreTy::I32,
        wasmtime_environ::WasmValType::I64 => CoreTy::I64,
        wasmtime_environ::WasmValType::F32 => CoreTy::F32,
        wasmtime_environ::WasmValType::F64 => CoreTy::F64,
        _ => CoreTy::Other,
    }
}
