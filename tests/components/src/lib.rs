//! Creates the components that tests need. [`guests`] builds this workspace's plugins; [`languages`] and [`go`] build
//! plugins in other languages. This file creates components from WIT and WebAssembly text, with an earlier and with the
//! newest release of wit-component, because their output differs and plugin authors use both.

mod bindings;
pub mod c;
pub mod go;
pub mod guests;
pub mod languages;
pub mod workspace;

use anyhow::{Context, Result};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// The adapter for WASI preview 1 that cargo-component 0.21 adds to a main module.
pub use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};

/// The release of wit-component that creates a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoder {
    /// 0.254, the release that matches this workspace's parser.
    #[default]
    Wasmtime,
    /// The newest release that is tested.
    Newest,
}

/// The encoding of strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, which MoonBit uses.
    Utf16,
}

/// The parts and options of a component.
#[derive(Clone, Default)]
pub struct Recipe<'a> {
    /// The package that contains the world. It may contain its own version of `tidegate:proxy`; otherwise the real one
    /// is added.
    pub wit: &'a str,
    /// The main module. If absent, a module with functions of the right types that trap is generated.
    pub module: Option<Vec<u8>>,
    /// The adapter for WASI preview 1.
    pub preview1: Option<Cow<'a, [u8]>>,
    /// Other adapter modules.
    pub adapters: Vec<Module>,
    /// Shared libraries. If there are any, there is no main module, and the first library implements the world.
    pub libraries: Vec<Module>,
    /// The encoding of strings.
    pub strings: Strings,
    /// Whether functions are lifted and lowered asynchronously.
    pub is_async: bool,
    /// The release of wit-component.
    pub encoder: Encoder,
}

/// A core module in addition to the main module.
#[derive(Clone)]
pub struct Module {
    /// The name from which other modules import.
    pub name: String,
    /// The module.
    pub bytes: Vec<u8>,
    /// The package that contains the module's world, if it imports or exports interfaces.
    pub wit: Option<String>,
}

macro_rules! encoder {
    ($module:ident, $wit_component:ident, $wit_parser:ident, $builder:ident $(, $canonical_names:literal)?) => {
        mod $module {
            use super::{ADAPTER_NAME, Module, Recipe, Strings};
            use anyhow::Result;
            use $wit_component::{
                ComponentEncoder, Linker, StringEncoding, dummy_module, embed_component_metadata,
            };
            use $wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId};

            pub fn make(recipe: Recipe<'_>) -> Result<Vec<u8>> {
                let (resolve, world) = world(recipe.wit)?;
                let abi = match recipe.is_async {
                    true => LiftLowerAbi::AsyncCallback,
                    false => LiftLowerAbi::Sync,
                };
                let strings = match recipe.strings {
                    Strings::Utf8 => StringEncoding::UTF8,
                    Strings::Utf16 => StringEncoding::UTF16,
                };
                let embed = |module: &mut Vec<u8>, resolve: &Resolve, world| {
                    embed_component_metadata(module, resolve, world, strings $(, $canonical_names)?)
                };
                let mut libraries = recipe.libraries;
                if let Some(first) = libraries.first_mut() {
                    embed(&mut first.bytes, &resolve, world)?;
                    return link(libraries);
                }
                let made_up = || dummy_module(&resolve, world, ManglingAndAbi::Legacy(abi));
                let mut module = recipe.module.unwrap_or_else(made_up);
                embed(&mut module, &resolve, world)?;
                let mut adapters = recipe.adapters;
                for adapter in &mut adapters {
                    if let Some(wit) = &adapter.wit {
                        let (resolve, world) = self::world(wit)?;
                        embed(&mut adapter.bytes, &resolve, world)?;
                    }
                }
                encode(&module, recipe.preview1.as_deref(), &adapters)
            }

            fn world(wit: &str) -> Result<(Resolve, WorldId)> {
                let mut resolve = Resolve {
                    all_features: true,
                    ..Resolve::default()
                };
                if !wit.contains("package tidegate:proxy") {
                    resolve.push_dir(super::workspace::root().join("wit"))?;
                }
                let package = resolve.push_str("world.wit", wit)?;
                let world = resolve.select_world(&[package], None)?;
                Ok((resolve, world))
            }

            // The builders of the earlier release take `self` by value, those of the newest release by reference.
            fn link(libraries: Vec<Module>) -> Result<Vec<u8>> {
                let mut linker = Linker::default();
                for library in &libraries {
                    $builder!(linker = linker.library(&library.name, &library.bytes, false)?);
                }
                linker.encode()
            }

            pub fn encode(
                module: &[u8],
                preview1: Option<&[u8]>,
                adapters: &[Module],
            ) -> Result<Vec<u8>> {
                let mut encoder = ComponentEncoder::default();
                $builder!(encoder = encoder.validate(true));
                $builder!(encoder = encoder.module(module)?);
                if let Some(adapter) = preview1 {
                    $builder!(encoder = encoder.adapter(ADAPTER_NAME, adapter)?);
                }
                for adapter in adapters {
                    $builder!(encoder = encoder.adapter(&adapter.name, &adapter.bytes)?);
                }
                encoder.encode()
            }
        }
    };
}

/// A step of a builder that takes `self` by value.
macro_rules! by_value {
    ($builder:ident = $step:expr) => {
        $builder = $step
    };
}

/// A step of a builder that takes `self` by reference.
macro_rules! by_reference {
    ($builder:ident = $step:expr) => {
        $step
    };
}

encoder!(wasmtime, wit_component, wit_parser, by_value);
encoder!(
    newest,
    wit_component_newest,
    wit_parser_newest,
    by_reference,
    false
);

// === impl Recipe ===

impl Recipe<'_> {
    /// Creates the component.
    pub fn make(self) -> Result<Vec<u8>> {
        match self.encoder {
            Encoder::Wasmtime => wasmtime::make(self),
            Encoder::Newest => newest::make(self),
        }
    }
}

// === impl Encoder ===

impl Encoder {
    /// All releases.
    pub const ALL: [Encoder; 2] = [Encoder::Wasmtime, Encoder::Newest];

    /// Returns the adapter for WASI preview 1 of the same age.
    pub fn adapter(self) -> &'static [u8] {
        match self {
            Encoder::Wasmtime => ADAPTER,
            Encoder::Newest => wasi_preview1_newest::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        }
    }

    /// Creates a component from a module that contains its world.
    pub fn encode(self, module: &[u8], preview1: Option<&[u8]>) -> Result<Vec<u8>> {
        match self {
            Encoder::Wasmtime => wasmtime::encode(module, preview1, &[]),
            Encoder::Newest => newest::encode(module, preview1, &[]),
        }
    }
}

/// Creates the component of a guest in the directory `tests/wat`, which contains either
///
/// - `NAME/main.wat`, a main module, and `NAME/world.wit`,
/// - `NAME/allocator.wat`, the allocator of the guest `allocator.wat`, or
/// - `NAME/plugin.so.wat` and `NAME/world.wit`, and other libraries as `NAME/LIBRARY.so.wat`.
///
/// In addition to a main module there may be adapter modules, `NAME/ADAPTER.adapter.wat` and `.wit`. If a module
/// imports WASI preview 1, the adapter for it is added. Returns `None` if there is no such guest.
pub fn guest(name: &str, encoder: Encoder) -> Result<Option<Vec<u8>>> {
    guest_with(name, encoder, |text| text)
}

/// The same, with a function that changes the text of the module.
pub fn guest_with(
    name: &str,
    encoder: Encoder,
    change: impl FnOnce(String) -> String,
) -> Result<Option<Vec<u8>>> {
    let wat = workspace::root().join("tests/wat");
    let folder = wat.join(name);
    let (text, world) = if folder.join("main.wat").is_file() {
        (read(&folder.join("main.wat"))?, folder.join("world.wit"))
    } else if folder.join("allocator.wat").is_file() {
        let allocator = read(&folder.join("allocator.wat"))?;
        let text = read(&wat.join("allocator.wat"))?.replace("    ;; the allocator\n", &allocator);
        (text, wat.join("allocator.wit"))
    } else if folder.join(PLUGIN).is_file() {
        (read(&folder.join(PLUGIN))?, folder.join("world.wit"))
    } else {
        return Ok(None);
    };
    let make = || {
        let text = change(text);
        let has_preview1 = text.contains(&format!("\"{ADAPTER_NAME}\""));
        let module = wat::parse_str(text)?;
        let mut libraries = beside(&folder, ".so.wat")?;
        if let Some(plugin) = libraries.iter().position(|it| PLUGIN.starts_with(&it.name)) {
            libraries.swap(0, plugin);
            libraries[0].bytes.clone_from(&module);
        }
        Recipe {
            wit: &read(&world)?,
            module: Some(module),
            preview1: has_preview1.then_some(Cow::Borrowed(encoder.adapter())),
            adapters: beside(&folder, ".adapter.wat")?,
            libraries,
            encoder,
            ..Recipe::default()
        }
        .make()
    };
    let component = make();
    component
        .with_context(|| format!("failed to create a component of {}", folder.display()))
        .map(Some)
}

/// The shared library that implements the plugin.
const PLUGIN: &str = "plugin.so.wat";

/// Returns the modules in a guest's directory whose file names end with `end`. The name of a shared library includes
/// `.so`.
pub fn beside(folder: &Path, end: &str) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(stem) = name.strip_suffix(end) else {
            continue;
        };
        let wit = file.with_extension("wit");
        modules.push(Module {
            name: stem.to_owned() + if end.starts_with(".so") { ".so" } else { "" },
            bytes: wat::parse_str(read(&file)?)?,
            wit: wit.is_file().then(|| read(&wit)).transpose()?,
        });
    }
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(modules)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}
