//! The host and the bridge: each hostcall is implemented and linked, and each callback is called.

use std::fs;

use tidegate_components::workspace;

use crate::contract::{interfaces, parts, proxy_wasm_callback, snake, world};
use crate::sources::{calls, contains_word, lacks, lacks_module, shown};

#[test]
fn every_function_has_a_bridge() {
    let folder = workspace::root().join("adapter/bridge/src");
    let mut lacking = Vec::new();
    for part in &parts() {
        let module = snake(&part.interface);
        let what = format!("bridge `{}`", part.symbol);
        let symbol = format!("\"{}\"", part.symbol);
        lacking.extend(lacks(
            &folder.join(format!("{module}.rs")),
            &[symbol],
            &what,
        ));
        lacking.extend(lacks_module(&folder.join("lib.rs"), &module));
    }
    lacking.dedup();
    assert!(
        lacking.is_empty(),
        "functions of the world without a bridge:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_import_is_implemented_by_the_host() {
    let folder = workspace::root().join("host/semantics/src/hostcalls");
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.imported) {
        let (module, function) = (snake(&part.interface), snake(&part.name));
        let starts = [format!("fn {function}("), format!("fn {function}<")];
        let what = format!("write `fn {function}`");
        lacking.extend(lacks(&folder.join(format!("{module}.rs")), &starts, &what));
        lacking.extend(lacks_module(&folder.join("mod.rs"), &module));
    }
    lacking.dedup();
    assert!(
        lacking.is_empty(),
        "hostcalls that the host does not have:\n{}",
        lacking.join("\n")
    );
}

/// A component that imports an interface or a function that is not linked does not load.
#[test]
fn every_import_is_linked_for_components() {
    let engine = workspace::root().join("host/src/engine/component");
    let imports = engine.join("imports.rs");
    let links = fs::read_to_string(&imports).expect("imports.rs");
    let (resolve, world) = world();
    let mut lacking = Vec::new();
    for id in interfaces(&resolve, world, true) {
        let interface = &resolve.interfaces[id];
        let module = snake(interface.name.as_deref().expect("interfaces have names"));
        let by_trait = format!("{module}::add_to_linker::<");
        let by_hand = format!("{module}::link(linker)");
        let what = format!("call `{module}::add_to_linker` in `link`");
        lacking.extend(lacks(&imports, &[by_trait, by_hand.clone()], &what));
        if !links.contains(&by_hand) {
            // The generated trait has all functions.
            continue;
        }
        let file = engine.join(format!("{module}.rs"));
        let linked = calls(std::slice::from_ref(&file));
        for function in interface.functions.keys() {
            if !linked.contains(&format!("func_wrap(\"{function}\",")) {
                lacking.push(format!("{}: link `{function}`", shown(&file)));
            }
        }
    }
    assert!(
        lacking.is_empty(),
        "hostcalls that components cannot import:\n{}",
        lacking.join("\n")
    );
}

/// A module that imports a function that is not linked does not load, and one that imports an unknown function is not adapted.
#[test]
fn every_hostcall_of_the_bridge_is_known_and_linked() {
    let root = workspace::root();
    let engine = root.join("host/src/engine/proxy_wasm");
    let bridge = fs::read_to_string(root.join("adapter/bridge/src/abi.rs")).expect("abi.rs");
    let unsupported = engine.join("unsupported.rs");
    let all = calls(std::slice::from_ref(&engine));
    let without = calls(&[unsupported]);
    let mut lacking = Vec::new();
    let declared = bridge.match_indices("fn proxy_").filter_map(|(at, _)| {
        let (name, _) = bridge[at..].strip_prefix("fn ")?.split_once('(')?;
        Some(name)
    });
    let mut count = 0;
    for name in declared {
        count += 1;
        let what = format!("add `{name}` to `HOST`");
        let known = format!(" {name} \"");
        lacking.extend(lacks(
            &root.join("adapter/src/proxy_wasm.rs"),
            &[known],
            &what,
        ));
        let link = format!("func_wrap(\"env\",\"{name}\",");
        // It would only return an error.
        if !all.contains(&link) || without.contains(&link) {
            lacking.push(format!(
                "{}: link `{name}` in the file of its interface, which `link` in imports.rs calls",
                shown(&engine)
            ));
        }
    }
    assert!(count > 20, "{count} hostcalls only: is abi.rs read right?");
    assert!(
        lacking.is_empty(),
        "hostcalls that adapted modules need:\n{}",
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
        let callback = proxy_wasm_callback(&part.interface);
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

/// A callback that is missing in one of these lists is never called, or its type is not checked when a module is loaded.
#[test]
fn every_callback_is_in_the_lists_of_exports_of_proxy_wasm() {
    let file = workspace::root().join("host/src/engine/proxy_wasm/exports.rs");
    let source = fs::read_to_string(&file).expect("exports.rs");
    let between = |start: &str, end: &str| {
        let (_, rest) = source.split_once(start).expect(start);
        rest.split_once(end).expect(end).0
    };
    let signatures = between("const SIGNATURES:", "];");
    let callbacks = [
        between("const STREAM_CALLBACKS:", "];"),
        between("const EVENT_CALLBACKS:", "];"),
    ]
    .concat();
    let lookup = between("pub(super) fn find(", "\n    }\n");
    let lists = [
        ("`SIGNATURES`", signatures),
        (
            "`STREAM_CALLBACKS` or `EVENT_CALLBACKS`",
            callbacks.as_str(),
        ),
        ("`Exports::find`", lookup),
    ];
    let mut lacking = Vec::new();
    for part in parts().iter().filter(|part| part.name == "handle") {
        let literal = format!("\"proxy_{}\"", proxy_wasm_callback(&part.interface));
        // A name that is needed elsewhere, too, is a constant.
        let is_value = format!(": &str = {literal};");
        let constant = source.lines().find_map(|line| {
            let (_, name) = line.strip_suffix(&is_value)?.rsplit_once(' ')?;
            Some(name)
        });
        for (list, content) in lists {
            let is_listed = content.contains(&literal)
                || constant.is_some_and(|name| contains_word(content, name));
            if !is_listed {
                lacking.push(format!("{}: add {literal} to {list}", shown(&file)));
            }
        }
    }
    lacking.dedup();
    assert!(
        lacking.is_empty(),
        "callbacks that modules cannot export:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_hostcall_file_belongs_to_an_interface() {
    let stems: Vec<String> = parts().iter().map(|part| snake(&part.interface)).collect();
    let folder = workspace::root().join("host/semantics/src/hostcalls");
    for entry in fs::read_dir(&folder).expect("host/semantics/src/hostcalls") {
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
