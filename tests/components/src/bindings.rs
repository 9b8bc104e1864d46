//! Generates the bindings for a world with `wit-bindgen`'s libraries.

use anyhow::Result;
use std::fs;
use std::path::Path;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

/// Writes the bindings that `generator` creates for the world of the package `wit`.
pub fn generate(mut generator: Box<dyn WorldGenerator>, wit: &str, folder: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    resolve.push_dir(crate::workspace::root().join("wit"))?;
    let package = resolve.push_str("world.wit", wit)?;
    let world = resolve.select_world(&[package], None)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, contents) in files.iter() {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(file, contents)?;
    }
    Ok(())
}
