//! The contract, as the tests of this program need it: its functions, and the names that they have elsewhere.

use tidegate_components::workspace;
use wit_parser::{
    Function, FunctionKind, Handle, InterfaceId, Resolve, Type, TypeDefKind, WorldId, WorldItem,
};

/// Everything that a plugin may import or export.
const WORLD: &str = "all";

/// A function of the contract.
pub struct Part {
    /// The interface's name, which is the stem of its files.
    pub interface: String,
    /// The function's name in the interface: `plugin-context.configure` is `configure`.
    pub name: String,
    /// As the bridge names it: `plugin#[static]plugin-context.configure`.
    pub symbol: String,
    pub imported: bool,
    /// Whether it takes a handle of a stream.
    pub takes_stream: bool,
}

#[test]
fn every_interface_is_in_the_world() {
    let (resolve, world) = world();
    let (imports, exports) = (
        interfaces(&resolve, world, true),
        interfaces(&resolve, world, false),
    );
    let package = resolve.worlds[world].package.expect("the world's package");
    let lacking: Vec<String> = resolve.packages[package]
        .interfaces
        .iter()
        .filter(|(_, id)| !imports.contains(id) && !exports.contains(id))
        .map(|(name, _)| format!("wit/worlds.wit: import or export `{name}`"))
        .collect();
    assert!(
        lacking.is_empty(),
        "interfaces that no plugin can use:\n{}",
        lacking.join("\n")
    );
}

/// The contract, and its world `all`.
pub fn world() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(workspace::root().join("wit"))
        .expect("wit/ is a package");
    let world = resolve
        .select_world(&[package], Some(WORLD))
        .expect("the world `all`");
    (resolve, world)
}

/// The interfaces that a world imports or exports, including those that have only types.
pub fn interfaces(resolve: &Resolve, world: WorldId, imported: bool) -> Vec<InterfaceId> {
    let world = &resolve.worlds[world];
    let items = match imported {
        true => &world.imports,
        false => &world.exports,
    };
    let ids = items.values().map(|item| match item {
        WorldItem::Interface { id, .. } => *id,
        _ => panic!("the world has items outside interfaces"),
    });
    ids.collect()
}

/// Every function of the world `all`.
pub fn parts() -> Vec<Part> {
    let (resolve, world) = world();
    let mut parts = Vec::new();
    for imported in [true, false] {
        for id in interfaces(&resolve, world, imported) {
            let interface = &resolve.interfaces[id];
            let stem = interface
                .name
                .clone()
                .expect("interfaces of a package have names");
            parts.extend(interface.functions.values().map(|function| Part {
                name: item_name(function),
                symbol: format!("{stem}#{}", function.name),
                interface: stem.clone(),
                imported,
                takes_stream: takes_stream(&resolve, function),
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
pub fn item_name(function: &Function) -> String {
    match function.kind {
        FunctionKind::Constructor(_) => "constructor".to_owned(),
        _ => function.item_name().to_owned(),
    }
}

/// Whether a function takes a handle of a stream.
pub fn takes_stream(resolve: &Resolve, function: &Function) -> bool {
    function.params.iter().any(|parameter| {
        let Type::Id(id) = parameter.ty else {
            return false;
        };
        match resolve.types[id].kind {
            TypeDefKind::Handle(Handle::Borrow(of)) => {
                resolve.types[of].name.as_deref() == Some("http-stream")
            }
            _ => false,
        }
    })
}

/// The callback of Proxy-Wasm that leads to an interface, without its prefix. Interfaces of callbacks have Proxy-Wasm's names, the others
/// belong to what Proxy-Wasm calls a context.
pub fn proxy_wasm_callback(interface: &str) -> String {
    match interface {
        "plugin" => "on_configure".to_owned(),
        "http-filter" => "on_context_create".to_owned(),
        // One callback of Proxy-Wasm is for the calls of streams and of plugins.
        "on-plugin-http-call-response" => "on_http_call_response".to_owned(),
        // Proxy-Wasm calls it for streams, too.
        "on-plugin-done" => "on_done".to_owned(),
        interface => snake(interface),
    }
}

/// How code with bindings uses a hostcall: the module or type that it names, and the call.
pub fn in_rust(part: &Part) -> (String, String) {
    let (module, name) = (snake(&part.interface), snake(&part.name));
    let function = part.symbol.rsplit('#').next().unwrap_or_default();
    let Some((kind, path)) = function.split_once(']') else {
        return (format!("{module}::"), format!("{module}::{name}("));
    };
    let resource = pascal(path.split('.').next().unwrap_or_default());
    let ty = format!("{module}::{resource}");
    let call = match kind {
        "[method" => format!(".{name}("),
        "[constructor" => format!("{ty}::new("),
        _ => format!("{ty}::{name}("),
    };
    (ty, call)
}

pub fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `on-log` as the name of a class: `OnLog`.
pub fn pascal(name: &str) -> String {
    name.split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}
