//! The pass that determines what each import and export of a component means to a proxy, or rejects it by name.
//!
//! A name alone decides nothing. A function of the contract must have the contract's type, and a function of WASI that
//! has a meaning in a proxy must have WASI's type. Any other function must have the core type that the bridge has for
//! it. What is then done with each of them is decided by `plan`.

use crate::bridge::Bridge;
use crate::component::{Component, Lift, Lowering, Obstacle, ResourceRef};
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::ids::LoweringId;
use crate::name::{Name, wasi};
use crate::types::FuncTy;
use cranelift_entity::PrimaryMap;
use std::collections::BTreeMap;

/// What a component imports and exports, in a proxy's terms.
#[derive(Debug)]
pub struct Classes {
    /// For each lowered import, what it is.
    pub imports: PrimaryMap<LoweringId, Import>,
    /// For each exported function, by the bridge's name for it, the core functions that implement it.
    pub exports: BTreeMap<String, Lift>,
    /// Exports of other worlds, which no proxy calls: interfaces, and functions of the world itself.
    pub ignored: Vec<String>,
}

/// What a lowered import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Import {
    /// A function of the contract, by the bridge's name.
    Hostcall(String),
    /// A function of WASI that the bridge provides, by the bridge's name.
    Wasi(String),
    /// A function of WASI that a proxy cannot provide. It is bound to a stub.
    Refused(String),
}

/// Classifies the component's imports and exports.
pub fn classify(
    component: &Component<'_>,
    contract: &Contract,
    bridge: &Bridge<'_>,
) -> Result<Classes, AdaptError> {
    check_world(component, contract)?;
    for (interface, contents) in &component.imports {
        for (function, item) in &contents.functions {
            let name = Name {
                interface: interface.clone(),
                item: function.clone(),
            };
            check_import(&name, &item.ty, contract)?;
        }
    }
    let imports = component
        .lowerings
        .values()
        .map(|lowering| import(lowering, contract, bridge));
    Ok(Classes {
        imports: imports.collect::<Result<_, _>>()?,
        exports: exports(component, contract)?,
        ignored: ignored(component, contract),
    })
}

/// Returns the bridge's name for the function that drops a handle to an imported resource, if there can be one.
pub fn drop_name(resource: &ResourceRef, contract: &Contract) -> Option<String> {
    let ResourceRef::Imported(name) = resource else {
        return None;
    };
    let interface = contract
        .short(&name.interface)
        .or_else(|| wasi(&name.interface))?;
    Some(Bridge::export_name(
        interface,
        &format!("[resource-drop]{}", name.item),
    ))
}

/// Checks that the component is a plugin, and that its version of the contract is compatible with this one.
fn check_world(component: &Component<'_>, contract: &Contract) -> Result<(), AdaptError> {
    let ours = component
        .imports
        .keys()
        .chain(component.exports.keys())
        .filter(|name| contract.covers(name));
    for interface in ours {
        if contract.short(interface).is_none() {
            return Err(version_error(interface));
        }
    }
    for missing in &contract.required {
        let is_it = |interface: &&String| contract.short(interface) == Some(missing);
        if component.exports.keys().any(|it| is_it(&it)) {
            continue;
        }
        // The tools accept a world that exports only a callback. The interface whose types the callback uses then
        // becomes an import.
        let extra = if component.imports.keys().any(|it| is_it(&it)) {
            "; the component imports this interface instead, as happens if a world exports callbacks without including `http-plugin`"
        } else {
            ""
        };
        return Err(AdaptError::NotAPlugin {
            missing: contract.full(missing),
            extra,
        });
    }
    let mut exports = component.exports.keys();
    let is_callback = |name: &str| contract.callbacks().any(|callback| callback == name);
    if !exports.any(|interface| contract.short(interface).is_some_and(is_callback)) {
        return Err(AdaptError::NoCallback {
            known: contract.callbacks().cloned().collect(),
        });
    }
    Ok(())
}

/// Checks that a component may import this function, and compares its type with the expected one, if that is known.
fn check_import(name: &Name, ty: &FuncTy, contract: &Contract) -> Result<(), AdaptError> {
    if let Some(interface) = wasi(&name.interface) {
        let functions = contract.wasi.get(interface);
        return match functions.and_then(|functions| functions.get(&name.item)) {
            Some(expected) => check_type(name, &ty.without_versions(), expected),
            None => Ok(()),
        };
    }
    if !contract.covers(&name.interface) {
        let other_wasi = name.interface.starts_with("wasi:");
        let (reason, advice) = if other_wasi {
            (
                "is not part of WASI 0.2",
                "build the plugin for WASI 0.2 (`wasm32-wasip2`)",
            )
        } else {
            (
                "proxies do not provide",
                "plugins can import only `tidegate:proxy` and WASI 0.2",
            )
        };
        return Err(AdaptError::unsupported("imports", name, reason, advice));
    }
    let Some(short) = contract.short(&name.interface) else {
        return Err(version_error(&name.interface));
    };
    let functions = contract.imports.get(short);
    match functions.and_then(|functions| functions.get(&name.item)) {
        Some(expected) => check_type(name, &ty.without_versions(), &expected.ty),
        None if contract.exports.contains_key(short) => Err(AdaptError::unsupported(
            "imports",
            name,
            "plugins export",
            "export the interface in the plugin's world; a world that exports callbacks includes `http-plugin`",
        )),
        None => Err(unknown("imports", name, contract)),
    }
}

/// The error for a function of the contract's package that this adapter does not know.
fn unknown(direction: &'static str, name: &Name, contract: &Contract) -> AdaptError {
    match contract.split(&name.interface) {
        Some((_, version)) if version > contract.version => AdaptError::Newer {
            direction,
            interface: name.interface.clone(),
            function: name.item.clone(),
        },
        _ => AdaptError::unsupported(
            direction,
            name,
            "is not part of the plugin API",
            "build the plugin against the WIT that `tidegate wit` writes",
        ),
    }
}

fn version_error(interface: &str) -> AdaptError {
    AdaptError::Version {
        found: interface.to_owned(),
        advice: "build the plugin against the WIT that `tidegate wit` writes",
    }
}

fn check_type(name: &Name, found: &FuncTy, expected: &FuncTy) -> Result<(), AdaptError> {
    if found.is_async && !expected.is_async {
        return Err(AdaptError::Async {
            interface: name.interface.clone(),
            function: name.item.clone(),
        });
    }
    if found == expected {
        return Ok(());
    }
    Err(AdaptError::Type {
        interface: name.interface.clone(),
        function: name.item.clone(),
        found: Box::new(found.clone()),
        expected: Box::new(expected.clone()),
    })
}

/// Checks that a function can be called from an adapted module.
fn check_use(name: &Name, ty: &FuncTy, obstacle: Option<Obstacle>) -> Result<(), AdaptError> {
    if let Some(obstacle) = obstacle {
        return Err(obstacle.error(name));
    }
    match ty.unsupported() {
        Some(ty) => Err(AdaptError::UnsupportedType {
            interface: name.interface.clone(),
            function: name.item.clone(),
            ty,
        }),
        None => Ok(()),
    }
}

/// Returns the exports that do not belong to the contract's package. Language runtimes add some, most often
/// `wasi:cli/run`.
fn ignored(component: &Component<'_>, contract: &Contract) -> Vec<String> {
    let foreign = component.exports.iter().filter(|(interface, _)| {
        // An interface without a package belongs to the tool that made the component: componentize-py has one.
        (interface.is_empty() || interface.contains(':')) && !contract.covers(interface)
    });
    let names = foreign.flat_map(|(interface, contents)| match interface.as_str() {
        "" => contents.functions.keys().cloned().collect(),
        _ => vec![interface.clone()],
    });
    names.collect()
}

/// Classifies a lowered import. Its WIT type has been checked.
fn import(
    lowering: &Lowering,
    contract: &Contract,
    bridge: &Bridge<'_>,
) -> Result<Import, AdaptError> {
    let (name, signature) = (&lowering.name, &lowering.signature);
    check_use(name, &lowering.ty, lowering.obstacle)?;
    let (interface, is_wasi) = match (contract.short(&name.interface), wasi(&name.interface)) {
        (Some(interface), _) => (interface, false),
        (None, Some(interface)) => (interface, true),
        (None, None) => {
            return Err(AdaptError::unsupported(
                "imports",
                name,
                "proxies do not provide",
                "plugins can import only `tidegate:proxy` and WASI 0.2",
            ));
        }
    };
    let export = Bridge::export_name(interface, &name.item);
    match bridge.exports.get(&export) {
        Some(expected) if expected == signature => Ok(if is_wasi {
            Import::Wasi(export)
        } else {
            Import::Hostcall(export)
        }),
        Some(expected) => Err(AdaptError::Signature {
            interface: name.interface.clone(),
            function: name.item.clone(),
            found: Box::new(signature.clone()),
            expected: Box::new(expected.clone()),
        }),
        None if is_wasi => Ok(Import::Refused(export)),
        None => Err(AdaptError::unsupported(
            "imports",
            name,
            "this adapter's bridge lacks",
            "use a newer release of tidegate",
        )),
    }
}

/// Compares each exported function with the contract, and returns the core functions that implement it.
fn exports(
    component: &Component<'_>,
    contract: &Contract,
) -> Result<BTreeMap<String, Lift>, AdaptError> {
    let mut exports = BTreeMap::new();
    for (interface, contents) in &component.exports {
        if !contract.covers(interface) {
            continue;
        }
        let Some((short, version)) = contract.split(interface) else {
            return Err(version_error(interface));
        };
        let expected = contract.exports.get(short);
        for (function, item) in &contents.functions {
            let name = Name {
                interface: interface.clone(),
                item: function.clone(),
            };
            let Some(known) = expected.and_then(|functions| functions.get(function)) else {
                return Err(unknown("exports", &name, contract));
            };
            check_type(&name, &item.ty.without_versions(), &known.ty)?;
            if let Some(lift) = &item.lift {
                check_use(&name, &item.ty, lift.obstacle)?;
                exports.insert(Bridge::export_name(short, function), lift.clone());
            }
        }
        for (function, member) in expected.into_iter().flatten() {
            // The component cannot have functions that were added after the version that it was built against.
            let is_later = member.since.as_ref().is_some_and(|since| *since > version);
            if !is_later && !contents.functions.contains_key(function) {
                return Err(AdaptError::MissingFunction {
                    interface: interface.clone(),
                    function: function.clone(),
                });
            }
        }
    }
    Ok(exports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::FILES;
    use tidegate_components::Recipe;

    /// Returns the contract of a later release, with an additional function in an imported and in an exported
    /// interface, and with a new interface.
    fn later() -> Contract {
        let texts: Vec<(&str, String)> = FILES
            .iter()
            .map(|(name, text)| {
                let mut text = text.replace("proxy@0.1.0;", "proxy@0.1.1;");
                let function = "\n    @since(version = 0.1.1)\n    flush: func();\n}\n";
                match *name {
                    "logging.wit" => text = text.trim_end().trim_end_matches('}').to_owned() + function,
                    "on-log.wit" => text = text.trim_end().trim_end_matches('}').to_owned() + function,
                    "clock.wit" => text += "\n@since(version = 0.1.1)\ninterface audit { record-event: func(event: string); }\n",
                    _ => {}
                }
                (*name, text)
            })
            .collect();
        let texts = texts.iter().map(|(name, text)| (*name, text.as_str()));
        Contract::read(texts).expect("later contract should parse")
    }

    #[test]
    fn component_of_earlier_version_fits_a_later_contract() {
        let wit = "package test:earlier; world plugin { include tidegate:proxy/all@0.1.0; }";
        let recipe = Recipe {
            wit,
            ..Recipe::default()
        };
        let bytes = recipe.make().expect("valid component");
        let component = crate::parse::parse(&bytes).expect("component should parse");
        let bridge = Bridge::read(crate::bridge::BYTES).expect("bridge should parse");
        let contract = later();
        assert_eq!(contract.version.to_string(), "0.1.1");
        assert!(contract.imports["logging"].contains_key("flush"));
        let classes =
            classify(&component, &contract, &bridge).expect("component should be a plugin");
        assert!(classes.exports.contains_key("on-log#handle"));
        assert!(!classes.exports.contains_key("on-log#flush"));
    }
}
