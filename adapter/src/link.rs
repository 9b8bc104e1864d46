//! The pass that links the component's core modules and the bridge into one core module.
//!
//! `resolve` enters every input into a graph and binds each import according to the plan. `stub` makes the functions
//! that replace those of WASI which a proxy cannot provide. `reach` finds what is kept, and has function bodies decoded
//! as it reaches them. `emit` writes the module, and `debug` updates debug information to match. What each import is
//! bound to has been decided by `plan`; `verify` then checks that a proxy loads the result.

mod body;
mod debug;
mod decode;
mod emit;
mod graph;
mod ids;
mod input;
mod reach;
mod realloc;
mod resolve;
mod stub;

pub use stub::Stub;

use crate::bridge::Bridge;
use crate::component::{Component, Modules};
use crate::error::AdaptError;
use crate::name::METADATA;
use crate::options::Options;
use crate::plan::Plan;

/// Links a component's core modules and the bridge into one module.
pub fn link<'a>(
    component: &Component<'a>,
    modules: &'a Modules<'a>,
    bridge: &'a Bridge<'a>,
    plan: &Plan,
    options: &Options,
) -> Result<Vec<u8>, AdaptError> {
    let mut resolved = resolve::resolve(component, modules, bridge, plan)?;
    let reached = reach::reach(&mut resolved, options.keep_debug)?;
    let (emitted, layout) = emit::emit(&resolved.graph, &reached, &resolved.exports)?;
    let debug = match options.keep_debug {
        true => debug::sections(&resolved.graph, &resolved.inputs, &emitted, &layout)?,
        false => Vec::new(),
    };
    let mut module = emitted.module;
    if !options.strip_names {
        let names = match options.keep_debug {
            true => emit::Names::AsTheyAre,
            false => emit::Names::Demangled,
        };
        emit::names(&resolved.graph, &reached, &layout, names, &mut module);
    }
    let customs = modules.values().flat_map(|module| &module.customs);
    if let Some((name, data)) = customs.into_iter().find(|(name, _)| *name == METADATA) {
        emit::custom(&mut module, name, data);
    }
    for (name, data) in &debug {
        emit::custom(&mut module, name, data);
    }
    Ok(module.finish())
}
