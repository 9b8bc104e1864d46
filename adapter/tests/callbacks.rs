//! A module exports a callback of the proxy if and only if the component has a callback that it delivers.

#[path = "support/host_callback.rs"]
mod host_callback;

use anyhow::{Context, Result, ensure};
use host_callback::host_callback;
use std::collections::BTreeSet;
use std::path::Path;
use tidegate_adapter::{Options, adapt, inspect, verify};
use tidegate_components::Recipe;
use wit_parser::{Resolve, WorldItem};

/// The callbacks of the proxy that every module has.
const ALWAYS: [&str; 3] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
];

/// Returns the callbacks of the contract, each with the callback of the proxy that delivers it.
fn callbacks() -> Result<Vec<(String, String)>> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("all"))?;
    let exports = resolve.worlds[world].exports.values();
    let interfaces = exports.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone(),
        _ => None,
    });
    let callbacks = interfaces.filter(|name| name.starts_with("on-"));
    Ok(callbacks
        .map(|name| {
            let export = host_callback(&name);
            (name, export)
        })
        .collect())
}

/// Tests sets of up to three callbacks, all callbacks, and all but one. Testing all sets would take minutes.
#[test]
fn sets_of_callbacks_are_adapted() -> Result<()> {
    let callbacks = callbacks()?;
    let count = u32::try_from(callbacks.len())?;
    ensure!((4..20).contains(&count), "{callbacks:?}");
    let sets =
        (1..1_u32 << count).filter(|set| set.count_ones() <= 3 || set.count_ones() >= count - 1);
    for set in sets {
        let chosen = callbacks.iter().enumerate();
        let chosen = chosen.filter(|(bit, _)| set >> bit & 1 == 1);
        let chosen: Vec<_> = chosen.map(|(_, callback)| callback).collect();
        let exports = chosen.iter().map(|(interface, _)| interface);
        let exports = exports.map(|it| format!("export tidegate:proxy/{it}@0.1.0; "));
        let wit = format!(
            "package test:callbacks; world plugin {{ include tidegate:proxy/http-plugin@0.1.0; {}}}",
            exports.collect::<String>()
        );
        let component = Recipe {
            wit: &wit,
            ..Recipe::default()
        };
        let component = component.make().with_context(|| wit.clone())?;
        let module = adapt(&component, &Options::default()).with_context(|| wit.clone())?;
        verify(&module).with_context(|| wit.clone())?;
        let found: BTreeSet<_> = inspect(&module)?.callbacks.into_iter().collect();
        let wanted = chosen.iter().map(|(_, export)| export.as_str());
        let wanted = wanted.chain(ALWAYS);
        let wanted: BTreeSet<_> = wanted.map(str::to_owned).collect();
        ensure!(found == wanted, "{wit}: {found:?}");
    }
    Ok(())
}
