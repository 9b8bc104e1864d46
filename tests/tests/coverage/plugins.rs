//! Plugins: the probes of scenarios, the SDK, and the plugins in other languages.

use std::fs;
use std::path::PathBuf;

use tidegate_components::workspace;

use crate::contract::{in_rust, parts, pascal, snake};
use crate::sources::{
    contains_word, is_used_in_python, lacks, lacks_module, rust_files, shown, sources,
    without_comments,
};

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
fn every_callback_is_exported_by_the_probes() {
    let guests = workspace::root().join("tests/guests");
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.name == "handle") {
        let callback = snake(&part.interface);
        for (file, text, what) in [
            (
                "probe/src/script.rs",
                format!("pub {callback}: Vec<Step>"),
                format!("add a list of steps, `{callback}`"),
            ),
            (
                "probe/src/lib.rs",
                format!("impl {callback}::Guest for Probe"),
                format!("export `{}`", part.interface),
            ),
            (
                "sdk-probe/src/lib.rs",
                format!("fn {callback}("),
                format!("write `fn {callback}`"),
            ),
        ] {
            lacking.extend(lacks(&guests.join(file), &[text], &what));
        }
    }
    assert!(
        lacking.is_empty(),
        "callbacks that no scenario can see:\n{}",
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
        let engine = workspace::root().join("guest/sdk/src/testing/engine.rs");
        let what = format!("add `{interface}`, for unit tests");
        lacking.extend(lacks(&engine, &[format!("\"{interface}\"")], &what));
    }
    assert!(
        lacking.is_empty(),
        "callbacks that plugins in Rust cannot implement:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_hostcall_is_called_by_the_sdk() {
    let folder = workspace::root().join("guest/sdk/src");
    // What stands for the generated bindings in unit tests calls the functions of the proxy, which have the same names.
    let native = folder.join("bindings");
    let files: Vec<(PathBuf, String)> = rust_files(&folder)
        .into_iter()
        .filter(|path| !path.starts_with(&native))
        .map(|path| {
            let code = without_comments(&fs::read_to_string(&path).expect("a source file"));
            (path, code)
        })
        .collect();
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.imported) {
        let (user, call) = in_rust(part);
        let users: Vec<&(PathBuf, String)> = files
            .iter()
            .filter(|(_, code)| contains_word(code, &user))
            .collect();
        if users.iter().any(|(_, code)| contains_word(code, &call)) {
            continue;
        }
        let place = match users.first() {
            Some((path, _)) => shown(path),
            None => format!("write {}/{}.rs", shown(&folder), snake(&part.interface)),
        };
        let symbol = &part.symbol;
        lacking.push(format!(
            "{place}: call `{symbol}` (`{call}`) in a function for authors"
        ));
    }
    assert!(
        lacking.is_empty(),
        "hostcalls that the SDK does not make:\n{}",
        lacking.join("\n")
    );
}

/// Without the function, a wrapper of the SDK does not compile with the feature `testing`. Not every function has a wrapper.
#[test]
fn every_hostcall_can_be_made_in_unit_tests() {
    let folder = workspace::root().join("guest/sdk/src/bindings/native");
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.imported) {
        let (module, function) = (snake(&part.interface), snake(&part.name));
        let start = format!("pub fn {function}(");
        let what = format!("write `pub fn {function}`");
        lacking.extend(lacks(&folder.join(format!("{module}.rs")), &[start], &what));
        lacking.extend(lacks_module(&folder.with_extension("rs"), &module));
    }
    lacking.dedup();
    assert!(
        lacking.is_empty(),
        "hostcalls that unit tests of plugins cannot make:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_module_of_the_sdk_is_declared_and_in_the_prelude() {
    let folder = workspace::root().join("guest/sdk/src");
    let library = fs::read_to_string(folder.join("lib.rs")).expect("lib.rs");
    let (_, prelude) = library.split_once("pub mod prelude {").expect("a prelude");
    let (prelude, _) = prelude.split_once("\n}").expect("its end");
    let mut lacking = Vec::new();
    for path in rust_files(&folder) {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.expect("a name");
        if path.parent() != Some(folder.as_path()) || stem == "lib" {
            continue;
        }
        lacking.extend(lacks_module(&folder.join("lib.rs"), stem));
        // Plugins do not use the proxy for unit tests.
        let is_for_plugins = stem != "testing";
        let is_public = library.contains(&format!("\npub mod {stem};"));
        if is_for_plugins && is_public && !contains_word(prelude, stem) {
            lacking.push(format!("guest/sdk/src/lib.rs: add `{stem}` to the prelude"));
        }
    }
    assert!(
        lacking.is_empty(),
        "parts of the SDK that authors cannot use:\n{}",
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
