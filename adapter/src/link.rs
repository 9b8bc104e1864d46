//! The pass that makes one core module of the component's core modules and the bridge.
//!
//! `resolve` enters everything into a graph and binds each import by the plan, `stub` makes functions that refuse, `reach` finds
//! what stays, decoding bodies as it goes, `emit` writes it, and `debug` makes debug information follow. What an import is bound to
//! was decided by `plan`; whether a proxy loads the result is checked by `verify`.

mod body;
mod debug;
mod decode;
mod emit;
mod graph;
mod ids;
mod input;
mod reach;
mod resolve;
mod stub;

pub use stub::Stub;

use crate::bridge::Bridge;
use crate::component::Component;
use crate::error::AdaptError;
use crate::module::Module;
use crate::name::METADATA;
use crate::options::Options;
use crate::plan::Plan;

/// Makes one module.
pub fn link<'a>(
    component: &Component<'a>,
    modules: &'a [Module<'a>],
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
    let customs = modules.iter().flat_map(|module| &module.customs);
    if let Some((name, data)) = customs.into_iter().find(|(name, _)| *name == METADATA) {
        emit::custom(&mut module, name, data);
    }
    for (name, data) in &debug {
        emit::custom(&mut module, name, data);
    }
    Ok(module.finish())
}
