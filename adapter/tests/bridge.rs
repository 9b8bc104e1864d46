//! The bridge's artefact is what its source builds, satisfies the contract with the linker, and contains every
//! function of the world.
//!
//! The scenarios test the behavior of its functions, in Envoy and in Tidegate's own host.

#[path = "../bridge/build_recipe.rs"]
mod build_recipe;
#[path = "support/host_callback.rs"]
mod host_callback;

use anyhow::{Context, Result, bail, ensure};
use host_callback::host_callback;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_adapter::ALWAYS_EXPORTED;
use wasmparser::{ExternalKind, FuncType, Operator, Parser, Payload, TypeRef, ValType};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, TypeDefKind, WorldItem};

const PROXY: &str = "proxy_";

/// The functions of WASI preview 1 that every supported Envoy has.
const PREVIEW1: &[&str] = &[
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "proc_exit",
    "random_get",
];

fn checked_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(build_recipe::ARTEFACT)
}

fn bridge() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bridge")
}

/// Builds the bridge in the directory `source`, in a separate output directory.
fn build(source: &Path, name: &str) -> Result<Vec<u8>> {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&output)?;
    let status = build_recipe::command(source, &output)
        .status()
        .context("failed to run rustc")?;
    ensure!(
        status.success(),
        "failed to build the bridge; it requires the target wasm32-unknown-unknown, which `cargo xtask test` installs"
    );
    Ok(fs::read(output.join(build_recipe::ARTEFACT))?)
}

#[test]
fn artefact_matches_its_source() -> Result<()> {
    let checked_in = fs::read(checked_in())?;
    if build(&bridge(), "bridge-here")? != checked_in {
        bail!(
            "adapter/src/{} differs from the build of adapter/bridge/src: run `cargo xtask bridge` and commit the file",
            build_recipe::ARTEFACT
        );
    }
    Ok(())
}

/// Otherwise checkouts in other directories would build another artefact.
#[test]
fn artefact_does_not_depend_on_the_build_directory() -> Result<()> {
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere/quite/deep");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere)?;
    }
    copy(&bridge().join("src"), &elsewhere.join("bridge/src"))?;
    // rustup finds the toolchain by this file.
    let pin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rust-toolchain.toml");
    fs::copy(pin, elsewhere.join("rust-toolchain.toml"))?;
    ensure!(
        build(&bridge(), "bridge-first")? == build(&elsewhere.join("bridge"), "bridge-second")?,
        "two checkouts build different bridges"
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The contents of the artefact.
#[derive(Default)]
struct Artefact {
    /// The imported functions, by module and name.
    imports: BTreeMap<(String, String), FuncType>,
    /// The exported functions.
    exports: BTreeMap<String, FuncType>,
    /// The names and values of the exported globals.
    globals: BTreeMap<String, i32>,
    /// The names of sections that are not permitted.
    forbidden: Vec<&'static str>,
    custom_sections: Vec<String>,
    /// Whether memory is imported and none is defined.
    imports_memory: bool,
    /// The number of uses of the stack pointer in `_initialize` and `state#allocate`.
    early_stack_uses: usize,
    grows_memory: bool,
    calls_indirectly: bool,
}

fn read(bytes: &[u8]) -> Result<Artefact> {
    wasmparser::Validator::new().validate_all(bytes)?;
    let mut artefact = Artefact::default();
    let mut types = Vec::new();
    // The type of each function, imported ones first.
    let mut functions: Vec<FuncType> = Vec::new();
    let mut imported = 0;
    let mut without_stack = Vec::new();
    let mut constants = Vec::new();
    let mut exported_globals = Vec::new();
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(ty) => {
                            let ty = types.get(ty as usize).context("no such type")?;
                            imported += 1;
                            functions.push(ty.clone());
                            artefact
                                .imports
                                .insert((import.module.into(), import.name.into()), ty.clone());
                        }
                        TypeRef::Memory(_) => artefact.imports_memory = true,
                        _ => artefact.forbidden.push("import of another kind"),
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(types.get(ty? as usize).context("no such type")?.clone());
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let mut instructions = global?.init_expr.get_operators_reader();
                    constants.push(match instructions.read()? {
                        Operator::I32Const { value } => value,
                        other => bail!("unsupported initial value of a global: {other:?}"),
                    });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => {
                            if ["_initialize", "state#allocate"].contains(&export.name) {
                                without_stack.push(export.index);
                            }
                            let ty = functions
                                .get(export.index as usize)
                                .context("no such function")?;
                            artefact.exports.insert(export.name.into(), ty.clone());
                        }
                        ExternalKind::Global => {
                            exported_globals.push((export.name.to_owned(), export.index));
                        }
                        _ => artefact.forbidden.push("export of another kind"),
                    }
                }
            }
            Payload::MemorySection(_) => artefact.forbidden.push("memory"),
            Payload::StartSection { .. } => artefact.forbidden.push("start"),
            Payload::ElementSection(_) => artefact.forbidden.push("elements"),
            Payload::DataCountSection { .. } => artefact.forbidden.push("data count"),
            Payload::DataSection(_) => artefact.forbidden.push("data"),
            Payload::TagSection(_) => artefact.forbidden.push("tags"),
            Payload::CustomSection(section) => artefact.custom_sections.push(section.name().into()),
            Payload::CodeSectionEntry(body) => {
                let has_no_stack = without_stack.contains(&(imported + bodies));
                bodies += 1;
                for operator in body.get_operators_reader()? {
                    match operator? {
                        Operator::MemoryGrow { .. } => artefact.grows_memory = true,
                        Operator::CallIndirect { .. } => artefact.calls_indirectly = true,
                        Operator::GlobalGet { .. } if has_no_stack => {
                            artefact.early_stack_uses += 1;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    for (name, index) in exported_globals {
        artefact.globals.insert(
            name,
            *constants.get(index as usize).context("no such global")?,
        );
    }
    Ok(artefact)
}

fn artefact() -> Result<Artefact> {
    read(&fs::read(checked_in())?)
}

#[test]
fn artefact_does_not_interfere_with_guest_memory() -> Result<()> {
    let artefact = artefact()?;
    ensure!(artefact.imports_memory, "the bridge does not import memory");
    ensure!(
        artefact.forbidden.is_empty(),
        "the bridge has {:?}",
        artefact.forbidden
    );
    ensure!(
        artefact.globals.get("__data_end") == Some(&0),
        "a `static` of the bridge is at address 0 of the guest's memory: {:?}",
        artefact.globals
    );
    ensure!(
        !artefact.grows_memory,
        "the bridge grows memory, which some guests assume that only they do"
    );
    ensure!(
        !artefact.calls_indirectly,
        "the bridge calls through a table"
    );
    ensure!(
        artefact.early_stack_uses == 0,
        "`_initialize` or `state#allocate` uses the stack before it is allocated"
    );
    ensure!(
        artefact.custom_sections == ["name"],
        "the bridge has the custom sections {:?}, expected only names",
        artefact.custom_sections
    );
    Ok(())
}

#[test]
fn artefact_imports_only_known_functions() -> Result<()> {
    for (module, name) in artefact()?.imports.keys() {
        let known = match module.as_str() {
            "env" => name.starts_with(PROXY),
            "wasi_snapshot_preview1" => PREVIEW1.contains(&name.as_str()),
            "state" => ["get", "set", "set-stack"].contains(&name.as_str()),
            "cabi" => ["import-realloc", "keep", "start"].contains(&name.as_str()),
            // These are compared with the world below.
            "guest" | "guest-dtor" | "guest-exports" | "guest-post" | "guest-realloc" => true,
            callback => callback.starts_with("proxy_on_"),
        };
        ensure!(
            known,
            "adapter/bridge/README.md does not list the import `{module}` `{name}`"
        );
    }
    Ok(())
}

#[test]
fn artefact_exports_match_its_contract() -> Result<()> {
    let artefact = artefact()?;
    let world = World::read()?;
    let hostcalls = world.hostcalls();
    let callbacks = world.callbacks();
    let callbacks: BTreeSet<_> = callbacks.keys().map(|it| host_callback(it)).collect();
    for name in artefact.exports.keys() {
        let known = ALWAYS_EXPORTED.contains(&name.as_str())
            || name == "state#allocate"
            || hostcalls.contains_key(name)
            || name.starts_with("wasi:")
            || name.starts_with("wasi_snapshot_preview1#")
            || callbacks.contains(name);
        ensure!(
            known,
            "adapter/bridge/README.md does not list the export `{name}`"
        );
    }
    for name in ALWAYS_EXPORTED {
        ensure!(
            artefact.exports.contains_key(*name),
            "the bridge does not export `{name}`"
        );
    }
    let globals: Vec<_> = artefact.globals.keys().map(String::as_str).collect();
    ensure!(
        globals == ["__data_end", "__heap_base"],
        "the bridge exports globals {globals:?}"
    );
    Ok(())
}

/// The contract in `wit/`.
struct World {
    resolve: Resolve,
    id: wit_parser::WorldId,
}

impl World {
    fn read() -> Result<World> {
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let (package, _) = resolve.push_dir(wit)?;
        let id = resolve.select_world(&[package], Some("all"))?;
        Ok(World { resolve, id })
    }

    /// Returns the core functions that the bridge must have for the imports, with their interfaces.
    fn hostcalls(&self) -> BTreeMap<String, (String, FuncType)> {
        let mut hostcalls = BTreeMap::new();
        self.each(&self.resolve.worlds[self.id].imports, |interface, item| {
            let (name, ty) = match item {
                Item::Function(function) => (
                    function.name.clone(),
                    self.signature(AbiVariant::GuestImport, function),
                ),
                Item::Resource(resource) => (
                    format!("[resource-drop]{resource}"),
                    FuncType::new([ValType::I32], []),
                ),
            };
            hostcalls.insert(format!("{interface}#{name}"), (interface.to_owned(), ty));
        });
        hostcalls
    }

    /// Returns the core functions that a component lifts for its exports, by interface.
    fn callbacks(&self) -> BTreeMap<String, BTreeMap<String, FuncType>> {
        let mut callbacks: BTreeMap<String, BTreeMap<String, FuncType>> = BTreeMap::new();
        self.each(&self.resolve.worlds[self.id].exports, |interface, item| {
            let (name, ty) = match item {
                Item::Function(function) => (
                    function.name.clone(),
                    self.signature(AbiVariant::GuestExport, function),
                ),
                Item::Resource(resource) => {
                    (resource.to_owned(), FuncType::new([ValType::I32], []))
                }
            };
            let of_interface = callbacks.entry(interface.to_owned()).or_default();
            of_interface.insert(format!("{interface}#{name}"), ty);
        });
        callbacks
    }

    /// Returns the exported functions whose arguments are allocated in the guest.
    fn allocating(&self) -> BTreeSet<String> {
        let mut allocating = BTreeSet::new();
        self.each(&self.resolve.worlds[self.id].exports, |interface, item| {
            if let Item::Function(function) = item {
                let signature = self
                    .resolve
                    .wasm_signature(AbiVariant::GuestExport, function);
                if signature.params.contains(&WasmType::Pointer) {
                    allocating.insert(format!("{interface}#{}", function.name));
                }
            }
        });
        allocating
    }

    fn each<'a>(
        &'a self,
        items: impl IntoIterator<Item = (&'a wit_parser::WorldKey, &'a WorldItem)>,
        mut see: impl FnMut(&str, Item<'a>),
    ) {
        for (_, item) in items {
            let WorldItem::Interface { id, .. } = item else {
                continue;
            };
            let interface = &self.resolve.interfaces[*id];
            let name = interface.name.as_deref().unwrap_or_default();
            for function in interface.functions.values() {
                see(name, Item::Function(function));
            }
            for (resource, ty) in &interface.types {
                if matches!(self.resolve.types[*ty].kind, TypeDefKind::Resource) {
                    see(name, Item::Resource(resource));
                }
            }
        }
    }

    fn signature(&self, variant: AbiVariant, function: &Function) -> FuncType {
        let signature = self.resolve.wasm_signature(variant, function);
        FuncType::new(
            signature.params.iter().map(core),
            signature.results.iter().map(core),
        )
    }
}

enum Item<'a> {
    Function(&'a Function),
    Resource(&'a str),
}

fn core(ty: &WasmType) -> ValType {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}

/// Returns the source file of an interface.
fn file(interface: &str) -> String {
    format!("adapter/bridge/src/{}.rs", interface.replace('-', "_"))
}

#[test]
fn every_hostcall_has_a_bridge_function() -> Result<()> {
    let artefact = artefact()?;
    let mut wrong = Vec::new();
    for (name, (interface, ty)) in World::read()?.hostcalls() {
        match artefact.exports.get(&name) {
            Some(found) if *found == ty => {}
            Some(found) => wrong.push(format!(
                "{}: `{name}` is {found:?}, not {ty:?}",
                file(&interface)
            )),
            None => wrong.push(format!(
                "{}: no function exported as `{name}`, of {ty:?}",
                file(&interface)
            )),
        }
    }
    ensure!(
        wrong.is_empty(),
        "write, then run `cargo xtask bridge`:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn every_callback_is_called_by_the_bridge() -> Result<()> {
    let artefact = artefact()?;
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for (interface, functions) in World::read()?.callbacks() {
        let file = file(&interface);
        for (name, ty) in functions {
            let import = |module: &str| artefact.imports.get(&(module.to_owned(), name.clone()));
            let is_dtor = !name.contains("handle") && !name.contains('[');
            let callback = host_callback(&interface);
            let module = match (is_dtor, interface.starts_with("on-")) {
                (true, _) => "guest-dtor",
                (false, true) => &callback,
                (false, false) => "guest",
            };
            match import(module) {
                Some(found) if *found == ty => {}
                Some(found) => wrong.push(format!(
                    "{file}: `{name}` of `{module}` is {found:?}, not {ty:?}"
                )),
                None => wrong.push(format!(
                    "{file}: `{name}` of `{module}` is not called; it is {ty:?}"
                )),
            }
            // Some languages abort at the next call if a post-return is omitted.
            let post = FuncType::new(ty.results().to_vec(), []);
            if !is_dtor && import("guest-post") != Some(&post) {
                wrong.push(format!(
                    "{file}: the post-return of `{name}` is not called; it is {post:?}"
                ));
            }
            known.insert(name);
        }
        if interface.starts_with("on-") {
            let export = host_callback(&interface);
            if !artefact.exports.contains_key(&export) {
                wrong.push(format!("{file}: no function exported as `{export}`"));
            }
        }
    }
    let allocated = artefact.imports.keys();
    let allocated = allocated.filter(|(module, _)| module == "guest-realloc");
    let allocated: BTreeSet<_> = allocated.map(|(_, name)| name.clone()).collect();
    let allocating = World::read()?.allocating();
    if allocated != allocating {
        wrong.push(format!(
            "the bridge allocates arguments of {allocated:?}, and those of {allocating:?} are allocated"
        ));
    }
    for ((module, name), ty) in &artefact.imports {
        let is_guest = module.starts_with("guest") || module.starts_with("proxy_on_");
        if is_guest && !known.contains(name) {
            wrong.push(format!(
                "the bridge calls `{name}`, which the world does not export"
            ));
        }
        // The linker replaces these calls with constants.
        if module == "guest-exports" && *ty != FuncType::new([], [ValType::I32]) {
            wrong.push(format!("`{name}` of `{module}` is {ty:?}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "write, then run `cargo xtask bridge`:\n{}",
        wrong.join("\n")
    );
    Ok(())
}
