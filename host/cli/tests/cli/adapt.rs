//! `adapt` and `inspect`, as far as the files around them go. What adapting does is tested with the adapter.

use std::fs;

use crate::tool::{Folder, module, text, tidegate, tidegate_with};

#[test]
fn adapt_says_what_it_cannot_adapt() {
    let folder = Folder::new();
    let output = text(&folder.path("out.wasm"));
    let adapt = |input: &str| tidegate(["adapt", input, "-o", &output]);
    adapt(&text(&folder.path("none.wasm"))).fails_with(&[
        "cannot read",
        "none.wasm",
        "No such file",
    ]);
    adapt(&text(&folder.path(""))).fails_with(&["cannot read", "directory"]);
    adapt(&folder.file("empty.wasm", "")).fails_with(&["cannot adapt", "empty.wasm", "cut off"]);
    adapt(&folder.file("text.wasm", "(module)")).fails_with(&[
        "cannot adapt",
        "text.wasm",
        "not a WebAssembly file",
    ]);
    adapt(&folder.module("module.wasm")).fails_with(&[
        "cannot adapt",
        "module.wasm",
        "Proxy-Wasm module already",
    ]);
    assert!(!folder.names().contains(&"out.wasm".to_owned()));
}

#[test]
fn adapt_reads_stdin() {
    tidegate_with(["adapt", "-", "-o", "-"], b"")
        .fails_with(&["cannot adapt what came from stdin"]);
    tidegate_with(["adapt", "-", "-o", "-"], &module())
        .fails_with(&["stdin", "Proxy-Wasm module already"]);
}

#[test]
fn adapt_leaves_what_was_there_when_it_fails() {
    let folder = Folder::new();
    let output = folder.file("out.wasm", "as it was");
    tidegate([
        "adapt",
        &folder.file("broken.wasm", "\0asm\x0d\0\x01\0broken"),
        "-o",
        &output,
    ])
    .fails_with(&["broken.wasm"]);
    assert_eq!(fs::read(&output).expect("the file"), b"as it was");
    assert_eq!(folder.names(), ["broken.wasm", "out.wasm"]);
}

#[test]
fn inspect_tells_a_module() {
    let folder = Folder::new();
    let path = folder.module("module.wasm");
    let done = tidegate(["inspect", &path]);
    let shown = String::from_utf8(done.succeeds().to_vec()).expect("UTF-8");
    assert!(
        shown.contains("Proxy-Wasm module") && shown.contains("proxy_add_header_map_value"),
        "{shown}"
    );
    let done = tidegate_with(["inspect", "-", "--json"], &module());
    let json: serde_json::Value = serde_json::from_slice(done.succeeds()).expect("JSON");
    assert_eq!(json["kind"], "proxy-wasm");
    assert_eq!(json["size"]["total"], module().len());
}

#[test]
fn inspect_says_what_it_cannot_read() {
    let folder = Folder::new();
    tidegate(["inspect", &folder.file("text.wasm", "hello")]).fails_with(&[
        "cannot inspect",
        "text.wasm",
        "not a WebAssembly file",
    ]);
    tidegate(["inspect", "/none/of/these.wasm"]).fails_with(&["cannot read `/none/of/these.wasm`"]);
}
