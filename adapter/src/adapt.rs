//! Runs the passes in order, and holds what they share: the contract and the bridge.

use crate::bridge::{self, Bridge};
use crate::classify;
use crate::component::{Component, Modules};
use crate::contract::Contract;
use crate::error::AdaptError;
use crate::link;
use crate::options::Options;
use crate::parse;
use crate::plan::{self, Plan};
use crate::verify::verify;
use std::sync::OnceLock;

/// Turns a component into a Proxy-Wasm module.
pub fn adapt(component: &[u8], options: &Options) -> Result<Vec<u8>, AdaptError> {
    let adapter = Adapter::get()?;
    let component = parse::parse(component)?;
    let modules = component.read_modules()?;
    let plan = adapter.plan_for(&component, &modules)?;
    let output = link::link(&component, &modules, &adapter.bridge, &plan, options)?;
    verify(&output)?;
    Ok(output)
}

/// Describes what [`adapt`] would bind each import to, as text for people to read and for tests to compare.
pub fn explain(component: &[u8]) -> Result<String, AdaptError> {
    let plan = Adapter::get()?.plan(&parse::parse(component)?)?;
    Ok(plan.to_string())
}

/// The contract and the bridge, which every run needs.
pub struct Adapter {
    /// The contract.
    pub contract: Contract,
    bridge: Bridge<'static>,
}

// === impl Adapter ===

impl Adapter {
    /// Returns the adapter with the contract and the bridge that this crate was built with. They are read once.
    pub fn get() -> Result<&'static Adapter, AdaptError> {
        static ADAPTER: OnceLock<Result<Adapter, String>> = OnceLock::new();
        let broken = |message: &String| AdaptError::Link {
            module: "of the bridge".to_owned(),
            message: message.clone(),
        };
        ADAPTER.get_or_init(Adapter::read).as_ref().map_err(broken)
    }

    fn read() -> Result<Adapter, String> {
        let bridge = Bridge::read(bridge::BYTES).map_err(|error| error.to_string())?;
        Ok(Adapter {
            contract: Contract::load()?,
            bridge,
        })
    }

    /// Makes the plan for a component.
    pub fn plan(&self, component: &Component<'_>) -> Result<Plan, AdaptError> {
        self.plan_for(component, &component.read_modules()?)
    }

    fn plan_for(
        &self,
        component: &Component<'_>,
        modules: &Modules<'_>,
    ) -> Result<Plan, AdaptError> {
        // Checked before the exports, which composed components hide from each other: this error is the more helpful
        // one.
        let count = component.memories(modules);
        if count > 1 {
            return Err(AdaptError::Memories { count });
        }
        let classes = classify::classify(component, &self.contract, &self.bridge)?;
        plan::plan(component, modules, classes, &self.contract, &self.bridge)
    }
}
