//! Turns a WebAssembly component into one Proxy-Wasm core module.
//!
//! [`adapt`] takes a component that was built against the package `tidegate:proxy` and gives a module that stock Envoy and
//! Istio load. [`inspect`] says what is in either of them, and [`check`] what keeps Envoy from loading a module that somebody else
//! made. Nothing is executed, and nothing is read but the bytes given.
//!
//! A component goes through these passes, one file each, plain data in and plain data out: `parse` takes it apart,
//! `classify` says what each import and export is, `plan` decides what feeds what, `link` merges the core modules with
//! the bridge, and `verify` looks at the result as a proxy will. What the bridge is, and its contract with the linker, is
//! in `bridge/README.md`.

mod bridge;
mod check;
mod classify;
mod component;
mod contract;
mod error;
mod inspect;
mod interfaces;
mod link;
mod module;
mod parse;
mod plan;
mod proxy_wasm;
mod shim;
mod types;
mod verify;

pub use check::check;
pub use component::Name;
pub use error::AdaptError;
pub use inspect::{InspectError, Inspection, Kind, Mapping, Size, Wasi, inspect};
pub use interfaces::{Interfaces, interfaces};
pub use types::{CoreTy, FuncTy, Signature, Ty};
pub use verify::{VerifyError, verify};

use bridge::Bridge;
use component::Component;
use contract::Contract;
use module::Module;
use plan::Plan;
use std::sync::OnceLock;

/// The contract that this adapter knows.
pub const WORLD: &str = "tidegate:proxy@0.1.0";

/// The custom section in which a plugin says its name, version and the schema of its configuration.
pub const METADATA: &str = "tidegate-plugin";

/// What of a component is carried along besides what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Leaves out the name section. Backtraces in the proxy's log then show numbers instead of names.
    pub strip_names: bool,
    /// Carries debug information (DWARF) along, with every address changed to where its code went.
    pub keep_debug: bool,
}

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

/// Says what [`adapt`] would link to what, for people to read and for tests to compare.
pub fn explain(component: &[u8]) -> Result<String, AdaptError> {
    let plan = Adapter::get()?.plan(&parse::parse(component)?)?;
    Ok(plan.to_string())
}

/// What every run needs: the contract and the bridge.
struct Adapter {
    contract: Contract,
    bridge: Bridge<'static>,
}

// === impl Adapter ===

impl Adapter {
    /// The one that this crate was built with, read once.
    fn get() -> Result<&'static Adapter, AdaptError> {
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

    fn plan(&self, component: &Component<'_>) -> Result<Plan, AdaptError> {
        self.plan_for(component, &component.read_modules()?)
    }

    fn plan_for(
        &self,
        component: &Component<'_>,
        modules: &[Module<'_>],
    ) -> Result<Plan, AdaptError> {
        // Said before what it exports, which two components in one have hidden from each other.
        let count = component.memories(modules);
        if count > 1 {
            return Err(AdaptError::Memories { count });
        }
        let classes = classify::classify(component, &self.contract, &self.bridge)?;
        plan::plan(component, modules, classes, &self.contract, &self.bridge)
    }
}
