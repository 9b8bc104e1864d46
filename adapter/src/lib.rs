//! Turns a WebAssembly component into one Proxy-Wasm core module.
//!
//! [`adapt`] takes a component that was built against the package `tidegate:proxy` and gives a module that stock Envoy and
//! Istio load. [`inspect`] says what is in either of them. Nothing is executed, and nothing is read but the bytes given.
//!
//! A component goes through these passes, one file each, plain data in and plain data out: `parse` takes it apart,
//! `classify` says what each import and export is, `plan` decides what feeds what, `link` merges the core modules with
//! the bridge, and `verify` looks at the result as a proxy will. What the bridge is, and its contract with the linker, is
//! in `bridge/README.md`.

mod bridge;
mod classify;
mod component;
mod contract;
mod error;
mod link;
mod module;
mod parse;
mod plan;
mod proxy_wasm;
mod types;
mod verify;

pub use component::Name;
pub use error::AdaptError;
pub use types::{CoreTy, FuncTy, Signature, Ty};
pub use verify::{VerifyError, verify};

use bridge::Bridge;
use contract::Contract;
use module::Module;
use plan::Plan;

/// The contract that this adapter knows.
pub const WORLD: &str = "tidegate:proxy@0.1.0";

/// The custom section in which a plugin says its name, version and the schema of its configuration.
pub const METADATA: &str = "tidegate-plugin";

/// What of a component is carried along besides what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Leaves out the name section. Backtraces in the proxy's log then show numbers instead of names.
    pub strip_names: bool,
    /// Carries debug information along.
    pub keep_debug: bool,
}

/// Turns a component into a Proxy-Wasm module.
pub fn adapt(component: &[u8], options: &Options) -> Result<Vec<u8>, AdaptError> {
    let adapter = Adapter::new()?;
    let output = adapter.run(component, |component, modules, plan| {
        link::link(component, modules, &adapter.contract, &adapter.bridge, plan, options)
    })?;
    verify(&output)?;
    Ok(output)
}

/// Says what [`adapt`] would link to what, for people to read and for tests to compare.
pub fn explain(component: &[u8]) -> Result<String, AdaptError> {
    Adapter::new()?.run(component, |_, _, plan| Ok(plan.to_string()))
}

/// What every run needs: the contract and the bridge.
struct Adapter {
    contract: Contract,
    bridge: Bridge<'static>,
}

// === impl Adapter ===

impl Adapter {
    fn new() -> Result<Adapter, AdaptError> {
        let broken = |message: String| AdaptError::Link { module: "of the bridge".to_owned(), message };
        Ok(Adapter {
            contract: Contract::load().map_err(broken)?,
            bridge: Bridge::read(bridge::BYTES).map_err(|error| broken(error.to_string()))?,
        })
    }

    fn run<T>(
        &self,
        bytes: &[u8],
        then: impl FnOnce(&component::Component<'_>, &[Module<'_>], &Plan) -> Result<T, AdaptError>,
    ) -> Result<T, AdaptError> {
        let component = parse::parse(bytes)?;
        let modules = component.modules.iter().enumerate().map(|(number, bytes)| {
            Module::read(bytes).map_err(|error| AdaptError::Link {
                module: number.to_string(),
                message: error.to_string(),
            })
        });
        let modules = modules.collect::<Result<Vec<_>, _>>()?;
        let classes = classify::classify(&component, &self.contract, &self.bridge)?;
        let plan = plan::plan(&component, &modules, classes, &self.contract, &self.bridge)?;
        then(&component, &modules, &plan)
    }
}
