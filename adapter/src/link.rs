//! The pass that makes one core module of the component's core modules and the bridge.
//!
//! `resolve` enters everything into a graph and says what each import is, `refusal` makes what stands in for functions that a proxy has nothing for, `reach` finds what stays, `emit` writes it, `debug` makes
//! debug information follow.
//! Which import is fed by what was decided by `plan`; whether the result is one that a proxy loads is asked by `verify`.

mod body;
mod debug;
mod emit;
mod graph;
mod reach;
mod refusal;
mod resolve;
mod unit;

pub use emit::MEMORY;
pub use refusal::Refusal;

use crate::bridge::Bridge;
use crate::component::Component;
use crate::error::AdaptError;
use crate::module::Module;
use crate::plan::Plan;
use crate::{METADATA, Options};

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
        true => debug::sections(&resolved.graph, &resolved.units, &emitted, &layout)?,
        false => Vec::new(),
    };
    let mut module = emitted.module;
    if !options.strip_names {
        emit::names(&resolved.graph, &reached, &layout, &mut module);
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
