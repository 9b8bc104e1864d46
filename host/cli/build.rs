//! Lists the files that are embedded in the binary: the contract, the SDK's source, and the greeter in other languages.
//!
//! The list is generated so that no file can be forgotten. `tidegate wit` writes the contract, `tidegate new` all of the files.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the embedded files, in the package.
const CARRIED: &str = "carried";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join(CARRIED);
    if !root.join("wit").is_dir() {
        let reason = "is no folder; check out again after `git config core.symlinks true`";
        return Err(format!("{} {reason}", root.join("wit").display()).into());
    }
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    walk(&root, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root)?;
        let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        writeln!(list, "    ({:?}, include_str!({file:?})),", name.join("/"))?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("carried.rs"), list)?;
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Cargo does not follow symbolic links in a directory that it watches.
        println!("cargo::rerun-if-changed={}", path.canonicalize()?.display());
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
