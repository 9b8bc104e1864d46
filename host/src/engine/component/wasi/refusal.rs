//! The rest of WASI: files, sockets, HTTP and any other interface that a component imports. They link, and every call is
//! refused.
//!
//! The result of a refused call is derived from the type of the function, so that no list has to be maintained: a
//! `result` is its error, an `option` is `none`, a list is empty, and a handle refers to a resource on which every call
//! is refused. A function whose type has no such value traps with an error that names it.

use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};
use wasmtime::{AsContextMut, Engine, bail};

use crate::engine::component::guest::Guest;

/// The representation of every resource of a refused interface.
enum RefusedResource {}

/// The interfaces that this host implements. They have no versions here, because wasmtime matches versions.
const IMPLEMENTED: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The resources that those interfaces define. Other interfaces only import them with `use`.
const IMPLEMENTED_RESOURCES: [&str; 6] = [
    "error",
    "input-stream",
    "output-stream",
    "pollable",
    "terminal-input",
    "terminal-output",
];

/// The error cases by which WASI says that something is not permitted or not supported, best first.
const DENIED_CASES: [&str; 5] = [
    "access-denied",
    "access",
    "not-permitted",
    "not-supported",
    "unsupported",
];

/// Links every WASI function that the component imports and this host does not implement.
pub(super) fn link(
    linker: &mut Linker<Guest>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        let interface = name.split('@').next().unwrap_or(name);
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !name.starts_with("wasi:") || IMPLEMENTED.contains(&interface) {
            continue;
        }
        let mut interface_linker = linker.instance(name)?;
        for (function, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    link_refusal(&mut interface_linker, name, function)?
                }
                ComponentItem::Resource(_) if !IMPLEMENTED_RESOURCES.contains(&function) => {
                    interface_linker.resource(
                        function,
                        ResourceType::host::<RefusedResource>(),
                        |_, _| Ok(()),
                    )?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn link_refusal(
    interface_linker: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()> {
    let path = format!("{interface}#{function}");
    interface_linker.func_new(function, move |mut store, ty, _, results| {
        for (result, ty) in results.iter_mut().zip(ty.results()) {
            *result = match ty {
                Type::Own(_) => {
                    let handle = Resource::<RefusedResource>::new_own(0);
                    Val::Resource(handle.try_into_resource_any(store.as_context_mut())?)
                }
                ty => match refused_value(&ty) {
                    Some(value) => value,
                    None => bail!(
                        "`{path}` is not available: plugins can use only a part of WASI, without files and the network"
                    ),
                },
            };
        }
        Ok(())
    })
}

/// Returns the value of a type that signals a refusal, or `None` if the type has no such value.
fn refused_value(ty: &Type) -> Option<Val> {
    match ty {
        Type::Result(result) => Some(Val::Result(Err(match result.err() {
            Some(error) => Some(Box::new(error_case(&error)?)),
            None => None,
        }))),
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        _ => None,
    }
}

fn error_case(ty: &Type) -> Option<Val> {
    match ty {
        Type::Enum(cases) => {
            let best = DENIED_CASES
                .into_iter()
                .find(|wanted| cases.names().any(|it| it == *wanted));
            best.or_else(|| cases.names().next())
                .map(|name| Val::Enum(name.to_owned()))
        }
        Type::Variant(variant) => {
            let plain: Vec<&str> = variant
                .cases()
                .filter(|case| case.ty.is_none())
                .map(|case| case.name)
                .collect();
            let best = DENIED_CASES
                .into_iter()
                .find(|wanted| plain.contains(wanted));
            best.or_else(|| plain.first().copied())
                .map(|name| Val::Variant(name.to_owned(), None))
        }
        Type::String => Some(Val::String("not there".to_owned())),
        Type::Option(_) => Some(Val::Option(None)),
        _ => None,
    }
}
