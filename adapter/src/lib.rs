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

mod adapt;
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
mod name;
mod options;
mod parse;
mod plan;
mod proxy_wasm;
mod shim;
mod types;
mod verify;

pub use adapt::{adapt, explain};
pub use check::check;
pub use error::AdaptError;
pub use inspect::{InspectError, Inspection, Kind, Mapping, Size, Wasi, inspect};
pub use interfaces::{Interfaces, interfaces};
pub use name::{METADATA, Name, WORLD};
pub use options::Options;
pub use types::{CoreTy, FuncTy, Signature, Ty};
pub use verify::{VerifyError, verify};
