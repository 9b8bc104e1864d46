//! Walks the contract and fails for every function that lacks one of its parts, naming the file to write.
//!
//! `wit/` is the one list from which everything else follows: a function that the world imports has a meaning in
//! `host/src/hostcalls`, a bridge in `adapter/bridge/src`, a scenario and an operation of the probe; one that it exports has a caller in
//! both engines, a bridge, a scenario and a method in the SDK. Each file has the stem of the WIT interface. Each interface has a user among
//! the plugins in JavaScript, Python and Go. Whether what is there is right, the scenarios say.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_components::workspace;
use wit_parser::{Function, FunctionKind, Resolve, WorldItem};

/// Everything that a plugin may import or export.
const WORLD: &str = "all";

/// A function of the contract.
struct Part {
    /// The interface's name, which is the stem of its files.
    interface: String,
    /// The function's name in the interface: `plugin-context.configure` is `configure`.
    name: String,
    /// As the bridge names it: `plugin#[static]plugin-context.configure`.
    symbol: String,
    imported: bool,
}

#[test]
fn every_function_has_a_scenario() {
    let lacking: Vec<String> = parts()
        .iter()
        .map(|part| {
            workspace::scenarios()
                .join(&part.interface)
                .join(format!("{}.yaml", part.name))
        })
        .filter(|file| !file.is_file())
        .map(|file| format!("write {}", shown(&file)))
        .collect();
    assert!(
        lacking.is_empty(),
        "functions of the world without a scenario:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_function_has_a_bridge() {
    let lacking: Vec<String> = parts()
        .iter()
        .filter_map(|part| {
            let file = workspace::root()
                .join("adapter/bridge/src")
                .join(format!("{}.rs", snake(&part.interface)));
            lacks(
                &file,
                &[format!("\"{}\"", part.symbol)],
                &format!("bridge `{}`", part.symbol),
            )
        })
        .collect();
    assert!(
        lacking.is_empty(),
        "functions of the world without a bridge:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_import_is_implemented_by_the_host() {
    let lacking: Vec<String> = parts()
        .iter()
        .filter(|part| part.imported)
        .filter_map(|part| {
            let file = workspace::root()
                .join("host/src/hostcalls")
                .join(format!("{}.rs", snake(&part.interface)));
            let function = snake(&part.name);
            let starts = [format!("fn {function}("), format!("fn {function}<")];
            lacks(&file, &starts, &format!("write `fn {function}`"))
        })
        .collect();
    assert!(
        lacking.is_empty(),
        "hostcalls that the host does not have:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_export_has_a_caller_in_both_engines() {
    let engines = workspace::root().join("host/src/engine");
    let component = calls(&[engines.join("component.rs"), engines.join("component")]);
    let proxy_wasm = calls(&[engines.join("proxy_wasm.rs"), engines.join("proxy_wasm")]);
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| !part.imported) {
        let (interface, name) = (snake(&part.interface), snake(&part.name));
        // `call!(on_log, "on-log")` calls `handle` of an interface. Elsewhere, `exports.plugin.plugin_context().call_configure(…)`: the
        // interface, and soon after it the call.
        let by_macro = name == "handle" && component.contains(&format!("call!({interface},"));
        let call = format!(".call_{name}(");
        let called = component
            .match_indices(&format!(".{interface}."))
            .filter_map(|(at, _)| component[at + 1..].split_once(&call))
            .any(|(between, _)| between.len() < interface.len() + 40);
        if !called && !by_macro {
            lacking.push(format!(
                "host/src/engine/component does not call `{name}` of `{interface}`"
            ));
        }
        // Interfaces of callbacks have Proxy-Wasm's names, the others belong to what Proxy-Wasm calls a context.
        let callback = match part.interface.as_str() {
            "plugin" => "on_configure",
            "http-filter" => "on_context_create",
            // One callback of Proxy-Wasm is for the calls of streams and of plugins.
            "on-plugin-http-call-response" => "on_http_call_response",
            // Proxy-Wasm calls it for streams, too.
            "on-plugin-done" => "on_done",
            _ => &interface,
        };
        // `call!(self, context, on_log, …)`, but for those that have two signatures.
        let by_macro = format!("call!(self,context,{callback},");
        let by_hand = format!("&exports.{callback})");
        let is_called = proxy_wasm.contains(&by_macro) || proxy_wasm.contains(&by_hand);
        // The name of the export, by which it is found and which traps report.
        if !is_called || !proxy_wasm.contains(&format!("\"proxy_{callback}\"")) {
            lacking.push(format!(
                "host/src/engine/proxy_wasm does not call `proxy_{callback}`"
            ));
        }
    }
    assert!(
        lacking.is_empty(),
        "callbacks that no engine calls:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_hostcall_is_an_operation_of_the_probe() {
    let file = workspace::root().join("tests/guests/probe/src/script.rs");
    let lacking: Vec<String> = parts()
        .iter()
        .filter(|part| part.imported)
        .filter_map(|part| {
            let (interface, name) = (&part.interface, &part.name);
            // With its resource, where an interface has several: `metrics.counter.add`.
            let item = part.symbol.rsplit(['#', ']']).next().unwrap_or_default();
            let names = [
                format!("\"{interface}.{name}\""),
                format!("\"{interface}.{item}\""),
            ];
            let what = format!("add the operation `{interface}.{name}`");
            lacks(&file, &names, &what)
        })
        .collect();
    assert!(
        lacking.is_empty(),
        "hostcalls that no scenario can make:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_callback_is_a_method_in_the_sdk() {
    let mut lacking = Vec::new();
    let callbacks = parts();
    let callbacks = callbacks.iter().filter(|part| part.name == "handle");
    for interface in callbacks.map(|part| snake(&part.interface)) {
        // The author's method, and the one that calls it.
        for file in ["guest/sdk/src/plugin.rs", "guest/sdk/src/glue.rs"] {
            let start = format!("fn {interface}(");
            let what = format!("write `fn {interface}`");
            lacking.extend(lacks(&workspace::root().join(file), &[start], &what));
        }
    }
    assert!(
        lacking.is_empty(),
        "callbacks that plugins in Rust cannot implement:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_interface_has_a_user_in_every_language() {
    let read = |places: [&str; 2], extension| {
        sources(
            &places.map(|place| workspace::root().join(place)),
            extension,
        )
    };
    let javascript = [
        "guest/examples/greeter/javascript/plugin.js",
        "tests/languages/contract/javascript/plugin.js",
    ];
    let python = [
        "guest/examples/greeter/python",
        "tests/languages/contract/python",
    ];
    let (javascript, python) = (read(javascript, "js"), read(python, "py"));
    let go = read(["guest/go", "tests/go"], "go");
    let mut interfaces = parts();
    interfaces.dedup_by(|part, previous| part.interface == previous.interface);
    let mut lacking = Vec::new();
    for part in &interfaces {
        let interface = &part.interface;
        let (snake, pascal) = (snake(interface), pascal(interface));
        let camel = pascal[..1].to_lowercase() + &pascal[1..];
        let package = format!("tidegate_proxy_{snake}");
        let are_used = if part.imported {
            [
                javascript.contains(&format!("'tidegate:proxy/{interface}@")),
                is_used_in_python(&python, &snake),
                go.contains(&format!("\"wit_component/{package}\"")),
            ]
        } else {
            [
                javascript.contains(&format!("export const {camel} =")),
                python.contains(&format!("class {pascal}(exports.{pascal})")),
                go.contains(&format!("package export_{package}\n")),
            ]
        };
        // A callback in Go is a package of its own.
        let (what, callback) = match part.imported {
            true => ("use", "on_request_headers"),
            false => ("export", snake.as_str()),
        };
        let files = [
            "JavaScript: tests/languages/contract/javascript/plugin.js".to_owned(),
            "Python: tests/languages/contract/python/app.py".to_owned(),
            format!("Go: tests/go/contract/export_tidegate_proxy_{callback}/handle.go"),
        ];
        for (file, is_used) in files.iter().zip(are_used) {
            if !is_used {
                lacking.push(format!("{file}: {what} `{interface}`"));
            }
        }
    }
    assert!(
        lacking.is_empty(),
        "interfaces of the world that no plugin in a language uses:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_hostcall_file_belongs_to_an_interface() {
    let stems: Vec<String> = parts().iter().map(|part| snake(&part.interface)).collect();
    let folder = workspace::root().join("host/src/hostcalls");
    for entry in fs::read_dir(&folder).expect("host/src/hostcalls") {
        let path = entry.expect("an entry").path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        let known = ["mod", "tests"].contains(&stem.as_str()) || stems.contains(&stem);
        assert!(
            known,
            "{}: the contract has no interface `{}`",
            shown(&path),
            stem.replace('_', "-")
        );
    }
}

/// Every function of the world `all`.
fn parts() -> Vec<Part> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(workspace::root().join("wit"))
        .expect("wit/ is a package");
    let world = resolve
        .select_world(&[package], Some(WORLD))
        .expect("the world `all`");
    let world = &resolve.worlds[world];
    let sides = [(&world.imports, true), (&world.exports, false)];
    let mut parts = Vec::new();
    for (items, imported) in sides {
        for item in items.values() {
            let WorldItem::Interface { id, .. } = item else {
                panic!("the world has functions outside interfaces")
            };
            let interface = &resolve.interfaces[*id];
            let stem = interface
                .name
                .clone()
                .expect("interfaces of a package have names");
            parts.extend(interface.functions.values().map(|function| Part {
                name: item_name(function),
                symbol: format!("{stem}#{}", function.name),
                interface: stem.clone(),
                imported,
            }));
        }
    }
    assert!(
        parts.len() > 20,
        "the world has {} functions only: is it read right?",
        parts.len()
    );
    parts
}

/// The name beneath its interface and resource.
fn item_name(function: &Function) -> String {
    match function.kind {
        FunctionKind::Constructor(_) => "constructor".to_owned(),
        _ => function.item_name().to_owned(),
    }
}

/// What is to be done where a file contains none of some texts.
fn lacks(file: &Path, texts: &[String], what: &str) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(source) if texts.iter().any(|text| source.contains(text)) => None,
        Ok(_) => Some(format!("{}: {what}", shown(file))),
        Err(_) => Some(format!("write {}: {what}", shown(file))),
    }
}

/// All Rust files at these places, one after the other, without the spaces that a formatter moves.
fn calls(places: &[PathBuf]) -> String {
    sources(places, "rs").split_whitespace().collect()
}

/// All files with an extension at these places, one after the other.
fn sources(places: &[PathBuf], extension: &str) -> String {
    places
        .iter()
        .filter(|place| place.exists())
        .flat_map(walkdir::WalkDir::new)
        .map(|entry| entry.expect("an entry").into_path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| fs::read_to_string(path).expect("a source file"))
        .collect()
}

/// Whether a source in Python calls a function of an interface, or imports a type of it. The name alone may be a word of a comment.
fn is_used_in_python(source: &str, interface: &str) -> bool {
    source.match_indices(interface).any(|(at, name)| {
        let (before, after) = (&source[..at], &source[at + name.len()..]);
        let is_type = before.ends_with(" wit_world.imports.") && after.starts_with(" import ");
        let is_name = !before.ends_with(|last: char| last.is_alphanumeric() || "_.".contains(last));
        let function = after.strip_prefix('.').unwrap_or_default();
        is_type || is_name && function.starts_with(char::is_alphabetic)
    })
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `on-log` as the name of a class: `OnLog`.
fn pascal(name: &str) -> String {
    name.split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root())
        .unwrap_or(path)
        .display()
        .to_string()
}
