//! Turns a WebAssembly component into one Proxy-Wasm core module.
//!
//! [`adapt`] takes a component that was built against the package `tidegate:proxy` and returns a module that stock
//! Envoy and Istio load. [`inspect`] describes the contents of a component or a module. [`check`] lists what keeps
//! Envoy from loading a module that another tool made. None of them executes code, and none reads anything but the
//! bytes that it is given.
//!
//! A component goes through five passes. Each is a file or a folder, with plain data in and plain data out:
//!
//! 1. `parse` validates the component and takes it apart.
//! 2. `classify` determines what each import and export means to a proxy.
//! 3. `plan` decides what each import is bound to.
//! 4. `link` links the component's core modules and the bridge into one module.
//! 5. `verify` checks the result the way a proxy will.
//!
//! The bridge implements the contract over Proxy-Wasm's functions. `bridge/README.md` describes it, and the contract
//! between it and the linker.

mod adapt;
mod bridge;
mod check;
mod classify;
mod component;
mod contract;
mod error;
mod ids;
mod inspect;
mod interfaces;
mod link;
mod module;
mod name;
mod options;
mod parse;
mod plan;
mod proxy_wasm;
mod release;
mod shim;
mod types;
mod verify;

pub use adapt::{adapt, explain};
pub use check::{check, check_for};
pub use error::AdaptError;
pub use inspect::{InspectError, Inspection, Kind, Mapping, Size, Wasi, inspect, schema};
pub use interfaces::{Interfaces, interfaces};
pub use name::{METADATA, Name, WORLD};
pub use options::Options;
pub use proxy_wasm::ALWAYS_EXPORTED;
pub use release::{Envoy, UnknownEnvoy};
pub use types::{CoreTy, FuncTy, Signature, Ty};
pub use verify::{VerifyError, verify};
