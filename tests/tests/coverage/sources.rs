//! Searching sources. A text that is missing becomes a line that says what to do where.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_components::workspace;

/// What is to be done where a file contains none of some texts.
pub fn lacks(file: &Path, texts: &[String], what: &str) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(source) if texts.iter().any(|text| source.contains(text)) => None,
        Ok(_) => Some(format!("{}: {what}", shown(file))),
        Err(_) => Some(format!("write {}: {what}", shown(file))),
    }
}

/// What is to be done where a file does not declare a module.
pub fn lacks_module(file: &Path, module: &str) -> Option<String> {
    lacks(
        file,
        &[format!("mod {module};")],
        &format!("declare `mod {module}`"),
    )
}

/// All Rust files at these places, one after the other, without the spaces that a formatter moves.
pub fn calls(places: &[PathBuf]) -> String {
    sources(places, "rs").split_whitespace().collect()
}

/// All files with an extension at these places, one after the other.
pub fn sources(places: &[PathBuf], extension: &str) -> String {
    places
        .iter()
        .filter(|place| place.exists())
        .flat_map(walkdir::WalkDir::new)
        .map(|entry| entry.expect("an entry").into_path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| fs::read_to_string(path).expect("a source file"))
        .collect()
}

/// The Rust files in a folder and below it, in order.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name();
    files
        .into_iter()
        .map(|entry| entry.expect("an entry").into_path())
        .filter(|path| path.extension().is_some_and(|found| found == "rs"))
        .collect()
}

/// A source in Rust without the lines that are comments.
pub fn without_comments(source: &str) -> String {
    let lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Whether a text contains another one that does not begin or end in the middle of a name.
pub fn contains_word(text: &str, word: &str) -> bool {
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let begins = !word.starts_with(is_name) || !before.ends_with(is_name);
        let ends = !word.ends_with(is_name) || !after.starts_with(is_name);
        begins && ends
    })
}

/// Whether a source in Python calls a function of an interface, or imports a type of it. The name alone may be a word of a comment.
pub fn is_used_in_python(source: &str, interface: &str) -> bool {
    source.match_indices(interface).any(|(at, name)| {
        let (before, after) = (&source[..at], &source[at + name.len()..]);
        let is_type = before.ends_with(" wit_world.imports.") && after.starts_with(" import ");
        let is_name = !before.ends_with(|last: char| last.is_alphanumeric() || "_.".contains(last));
        let function = after.strip_prefix('.').unwrap_or_default();
        is_type || is_name && function.starts_with(char::is_alphabetic)
    })
}

pub fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root())
        .unwrap_or(path)
        .display()
        .to_string()
}
