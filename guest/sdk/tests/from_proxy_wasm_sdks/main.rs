//! Holds `docs/from-proxy-wasm-sdks.md` to the SDK, and to the SDKs that it is about.
//!
//! The tables have three columns: what the Rust SDK for Proxy-Wasm has, what the Go SDK has, and what corresponds to it here. Each piece of
//! code in the third column must be in [`ours`], which the compiler checks. Each function of [`theirs`] must be in a row.

use std::fs;
use std::path::Path;

#[expect(dead_code, reason = "it is compiled, and never run")]
mod ours;
mod theirs;

/// The cells of the rows of all tables, by column.
struct Page {
    text: String,
    rows: Vec<[String; 3]>,
}

/// The columns.
const RUST: usize = 0;
const GO: usize = 1;
const TIDEGATE: usize = 2;

// === impl Page ===

impl Page {
    fn read() -> Self {
        let text = file("docs/from-proxy-wasm-sdks.md");
        let mut rows = Vec::new();
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let cells = line.trim().trim_start_matches('|').trim_end_matches('|');
            let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
            let Ok(cells) = <[&str; 3]>::try_from(cells) else {
                panic!("a row does not have three cells: {line}");
            };
            if !cells[TIDEGATE].starts_with("---") {
                rows.push(cells.map(str::to_owned));
            }
        }
        assert!(rows.len() > 50, "the page has {} rows", rows.len());
        Page { text, rows }
    }

    /// Returns the code in a column, with the cell that it is in.
    fn code(&self, column: usize) -> impl Iterator<Item = (&str, &str)> {
        let cells = self.rows.iter().map(move |row| row[column].as_str());
        cells.flat_map(|cell| code(cell).map(move |code| (code, cell)))
    }

    /// Returns the functions of a list that are in no cell of a column. What ends in `suffix` may be mentioned together with what does not.
    fn lacks<'a>(&self, column: usize, names: &[&'a str], suffix: &str) -> Vec<&'a str> {
        let others = format!("ending in `{suffix}`");
        let has = |name: &&str| {
            self.code(column).any(|(code, cell)| {
                let is_named = |name: &str| contains(&squeezed(code), name);
                let other = name.strip_suffix(suffix);
                is_named(name) || cell.contains(&others) && other.is_some_and(is_named)
            })
        };
        names.iter().filter(|name| !has(name)).copied().collect()
    }

    /// Returns the functions in a column that are in none of the lists.
    fn unknown(&self, column: usize, known: &[&str]) -> Vec<&str> {
        let name = |code: &str| {
            let end = code.find(['(', ' ', '!', '…']).unwrap_or(code.len());
            let path = code[..end].rsplit(['.', ':']).next().unwrap_or_default();
            path.to_owned()
        };
        let code = self.code(column).map(|(code, _)| code);
        code.filter(|code| !code.starts_with('_') && *code != "f")
            .filter(|code| !known.contains(&name(code).as_str()))
            .collect()
    }
}

/// Returns what is in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns Rust code without the spaces, line breaks and commas that only format it, and without comments.
fn squeezed(code: &str) -> String {
    let mut squeezed = String::new();
    let lines = code.lines().filter(|line| !line.trim().starts_with("//"));
    for part in lines.flat_map(str::split_whitespace) {
        if is_word(squeezed.chars().next_back()) && is_word(part.chars().next()) {
            squeezed.push(' ');
        }
        squeezed.push_str(part);
    }
    squeezed.replace(",)", ")")
}

fn is_word(character: Option<char>) -> bool {
    character.is_some_and(|it| it.is_alphanumeric() || it == '_')
}

/// Returns the part of a text after a piece of it that begins and ends with whole words.
fn after<'a>(text: &'a str, piece: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find(piece) {
        let (before, rest) = text.split_at(from + at);
        let rest = rest.get(piece.len()..)?;
        let begins = !is_word(piece.chars().next()) || !is_word(before.chars().next_back());
        let ends = !is_word(piece.chars().next_back()) || !is_word(rest.chars().next());
        if begins && ends {
            return Some(rest);
        }
        from += at + 1;
    }
    None
}

/// Returns whether a text contains a piece of code, in which `…` stands for the rest of an expression.
fn contains(text: &str, code: &str) -> bool {
    let mut pieces = code.split('…').filter(|piece| !piece.is_empty());
    let Some(first) = pieces.next() else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let mut text = text;
    while let Some(rest) = after(text, first) {
        text = rest;
        let mut statement = rest.split(';').next();
        for piece in &pieces {
            statement = statement
                .and_then(|it| it.split_once(*piece))
                .map(|(_, it)| it);
        }
        if statement.is_some() {
            return true;
        }
    }
    false
}

fn words(list: &str) -> Vec<&str> {
    list.split_whitespace().collect()
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_item_of_ours_exists() {
    let page = Page::read();
    let source = squeezed(include_str!("ours.rs"));
    // In the text, only what is certainly code of the SDK.
    let in_text = page.text.lines().filter(|line| !line.starts_with('|'));
    let in_text = in_text
        .flat_map(code)
        .filter(|code| code.starts_with("http."));
    let all = page.code(TIDEGATE).map(|(code, _)| code).chain(in_text);
    let missing: Vec<&str> = all
        .filter(|code| !contains(&source, &squeezed(code)))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/from-proxy-wasm-sdks.md names items that are not in guest/sdk/tests/from_proxy_wasm_sdks/ours.rs; correct them, or add code \
         that uses them:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_function_of_the_rust_sdk_has_a_row() {
    let page = Page::read();
    let mut lacking = Vec::new();
    for (context, names) in theirs::RUST {
        for name in page.lacks(RUST, &words(names), "_bytes") {
            lacking.push(format!("{context}::{name}"));
        }
    }
    // A method that several traits have is named with its trait.
    for (context, names) in theirs::RUST {
        for name in words(names) {
            let others = theirs::RUST
                .iter()
                .filter(|(_, names)| words(names).contains(&name));
            let qualified = format!("{context}::{name}");
            if others.count() > 1 && !page.code(RUST).any(|(code, _)| code == qualified) {
                lacking.push(qualified);
            }
        }
    }
    assert!(
        lacking.is_empty(),
        "docs/from-proxy-wasm-sdks.md: add rows for these methods of `proxy-wasm` {}:\n{}",
        theirs::RUST_VERSION,
        lacking.join("\n")
    );
}

#[test]
fn every_function_of_the_go_sdk_has_a_row() {
    let lacking = Page::read().lacks(GO, &words(theirs::GO), "f");
    assert!(
        lacking.is_empty(),
        "docs/from-proxy-wasm-sdks.md: add rows for these functions of `proxy-wasm-go-sdk` {}:\n{}",
        theirs::GO_VERSION,
        lacking.join("\n")
    );
}

#[test]
fn functions_on_the_page_exist_in_the_other_sdks() {
    let page = Page::read();
    let mut rust = words(theirs::MORE_RUST);
    for (_, names) in theirs::RUST {
        rust.extend(words(names));
    }
    let mut go = words(theirs::MORE_GO);
    go.extend(words(theirs::GO));
    let unknown = [page.unknown(RUST, &rust), page.unknown(GO, &go)].concat();
    assert!(
        unknown.is_empty(),
        "docs/from-proxy-wasm-sdks.md names functions that are not in guest/sdk/tests/from_proxy_wasm_sdks/theirs.rs:\n{}",
        unknown.join("\n")
    );
}

/// The lists belong to versions. When the workspace uses another one, they have to be compared with it.
#[test]
fn lists_are_those_of_the_versions_that_the_workspace_uses() {
    let rust = format!(
        "name = \"proxy-wasm\"\nversion = \"{}\"\n",
        theirs::RUST_VERSION
    );
    let go = format!("proxy-wasm-go-sdk {}", theirs::GO_VERSION);
    for (path, version) in [("Cargo.lock", rust), ("tests/languages/go/go.mod", go)] {
        assert!(
            file(path).contains(&version),
            "{path} has another version than theirs.rs: update the lists there, and then the page"
        );
    }
}

#[test]
fn code_is_found_by_whole_words() {
    let source = squeezed(
        "fn f() {\n    http.call(\n        cluster,\n        timeout,\n    )?;\n    // a.comment()\n    log::info!(\"a\");\n}",
    );
    for code in [
        "http.call(cluster, timeout)",
        "http.call(…)",
        "log::info!",
        ".call(…, timeout)",
    ] {
        assert!(contains(&source, &squeezed(code)), "{code}");
    }
    for code in [
        "http.call(timeout)",
        "log::inf",
        "a.comment()",
        "ttp.call(…)",
        ".call(…)log",
        "…",
    ] {
        assert!(!contains(&source, &squeezed(code)), "{code}");
    }
}
