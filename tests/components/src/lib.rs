//! Makes the components that tests need out of WIT and WebAssembly text, with an earlier and with the newest release of
//! wit-component: what the two make differs, and authors have both.

mod bindings;
pub mod c;
pub mod go;

use anyhow::{Context, Result};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

/// The adapter that cargo-component 0.21 puts beside a main module for WASI preview 1.
pub use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};

/// Which release of wit-component makes a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoder {
    /// 0.254, of the same release as the parser of this workspace.
    #[default]
    Wasmtime,
    /// The newest that is tested.
    Newest,
}

/// How strings are passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, as MoonBit passes them.
    Utf16,
}

/// How to make a component.
#[derive(Clone, Default)]
pub struct Recipe<'a> {
    /// The package that has the world. It may hold its own `tidegate:proxy`; otherwise the real one is there.
    pub wit: &'a str,
    /// The main module. Without one it is made up: its functions have the right types, and trap.
    pub module: Option<Vec<u8>>,
    /// The adapter for WASI preview 1 that goes beside it.
    pub preview1: Option<Cow<'a, [u8]>>,
    /// How strings are passed.
    pub strings: Strings,
    /// Whether to lift and lower asynchronously.
    pub is_async: bool,
    /// What makes the component.
    pub encoder: Encoder,
}

macro_rules! encoder {
    ($module:ident, $wit_component:ident, $wit_parser:ident $(, $canonical_names:literal)?) => {
        mod $module {
            use super::{ADAPTER_NAME, Recipe, Strings};
            use anyhow::Result;
            use $wit_component::{
                ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata,
            };
            use $wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

            pub fn make(recipe: Recipe<'_>) -> Result<Vec<u8>> {
                let mut resolve = Resolve {
                    all_features: true,
                    ..Resolve::default()
                };
                if !recipe.wit.contains("package tidegate:proxy") {
                    resolve.push_dir(super::workspace().join("wit"))?;
                }
                let package = resolve.push_str("world.wit", recipe.wit)?;
                let world = resolve.select_world(&[package], None)?;
                let abi = match recipe.is_async {
                    true => LiftLowerAbi::AsyncCallback,
                    false => LiftLowerAbi::Sync,
                };
                let made_up = || dummy_module(&resolve, world, ManglingAndAbi::Legacy(abi));
                let mut module = recipe.module.unwrap_or_else(made_up);
                let strings = match recipe.strings {
                    Strings::Utf8 => StringEncoding::UTF8,
                    Strings::Utf16 => StringEncoding::UTF16,
                };
                embed_component_metadata(
                    &mut module,
                    &resolve,
                    world,
                    strings
                    $(, $canonical_names)?
                )?;
                encode(&module, recipe.preview1.as_deref())
            }

            pub fn encode(module: &[u8], preview1: Option<&[u8]>) -> Result<Vec<u8>> {
                // One expression each: the earlier release is built by value, the newest by reference.
                match preview1 {
                    Some(adapter) => ComponentEncoder::default()
                        .validate(true)
                        .module(module)?
                        .adapter(ADAPTER_NAME, adapter)?
                        .encode(),
                    None => ComponentEncoder::default()
                        .validate(true)
                        .module(module)?
                        .encode(),
                }
            }
        }
    };
}

encoder!(wasmtime, wit_component, wit_parser);
encoder!(newest, wit_component_newest, wit_parser_newest, false);

// === impl Recipe ===

impl Recipe<'_> {
    /// Makes the component.
    pub fn make(self) -> Result<Vec<u8>> {
        match self.encoder {
            Encoder::Wasmtime => wasmtime::make(self),
            Encoder::Newest => newest::make(self),
        }
    }
}

// === impl Encoder ===

impl Encoder {
    /// All of them.
    pub const ALL: [Encoder; 2] = [Encoder::Wasmtime, Encoder::Newest];

    /// The adapter for WASI preview 1 of the same age.
    pub fn adapter(self) -> &'static [u8] {
        match self {
            Encoder::Wasmtime => ADAPTER,
            Encoder::Newest => wasi_preview1_newest::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        }
    }

    /// Makes a component of a module that says itself which world it is for.
    pub fn encode(self, module: &[u8], preview1: Option<&[u8]>) -> Result<Vec<u8>> {
        match self {
            Encoder::Wasmtime => wasmtime::encode(module, preview1),
            Encoder::Newest => newest::encode(module, preview1),
        }
    }
}

/// Makes the component of a guest of the folder `tests/wat`, which holds either
///
/// - `NAME/main.wat`, a main module, and `NAME/world.wit`, or
/// - `NAME/allocator.wat`, the allocator of the guest `allocator.wat`.
///
/// A module that imports WASI preview 1 gets the adapter. `None` if there is no such guest.
pub fn guest(name: &str, encoder: Encoder) -> Result<Option<Vec<u8>>> {
    guest_with(name, encoder, |text| text)
}

/// The same, with the text of the module changed.
pub fn guest_with(
    name: &str,
    encoder: Encoder,
    change: impl FnOnce(String) -> String,
) -> Result<Option<Vec<u8>>> {
    let wat = workspace().join("tests/wat");
    let folder = wat.join(name);
    let (text, world) = if folder.join("main.wat").is_file() {
        (read(&folder.join("main.wat"))?, folder.join("world.wit"))
    } else if folder.join("allocator.wat").is_file() {
        let allocator = read(&folder.join("allocator.wat"))?;
        let text = read(&wat.join("allocator.wat"))?.replace("    ;; the allocator\n", &allocator);
        (text, wat.join("allocator.wit"))
    } else {
        return Ok(None);
    };
    let make = || {
        let text = change(text);
        let has_preview1 = text.contains(&format!("\"{ADAPTER_NAME}\""));
        Recipe {
            wit: &read(&world)?,
            module: Some(wat::parse_str(text)?),
            preview1: has_preview1.then_some(Cow::Borrowed(encoder.adapter())),
            encoder,
            ..Recipe::default()
        }
        .make()
    };
    let component = make();
    component
        .with_context(|| format!("failed to make a component of {}", folder.display()))
        .map(Some)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// The workspace that these tests belong to.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
