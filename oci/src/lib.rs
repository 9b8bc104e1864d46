//! A client for OCI registries that pushes Proxy-Wasm modules to the registries from which Istio's agent fetches them, and
//! fetches them in the same way as the agent.
//!
//! [`Image`] builds an image of a module in one of the [`Layout`]s that the agent accepts. [`Registry`] implements the OCI
//! distribution protocol, and [`push`] and [`examine`] are the operations on it. This crate does not check whether Envoy
//! can load a module, and has no knowledge of plugins: names, versions and other metadata are passed in as [`Labels`].
//!
//! Data from a registry is not trusted. The size of every response is limited before it is read, every blob is verified
//! against the digest by which it was requested, and a single deadline applies to the whole operation.
//!
//! ```no_run
//! use tidegate_oci::{Access, Image, Labels, Layout, Reference, Registry, examine, push};
//!
//! let reference: Reference = "oci://127.0.0.1:5000/greeter:1.0.0".parse()?;
//! let image = Image::plugin(&std::fs::read("greeter.proxy.wasm")?, Layout::Compat, &Labels::default());
//! let mut registry = Registry::open(&reference, Access::default());
//! let digest = push(&mut registry, &image, "1.0.0")?;
//!
//! let examined = examine(&mut registry, &reference, Some(&digest))?;
//! assert!(examined.refusals.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod auth;
mod component;
mod credentials;
mod digest;
mod error;
mod examine;
mod image;
mod inner;
mod manifest;
mod push;
mod reference;
mod registry;
mod retry_after;
mod transport;

pub use component::{Component, component};
pub use credentials::{Credentials, CredentialsError};
pub use digest::{Digest, DigestError};
pub use error::Error;
pub use examine::{Examined, MAX_MODULE, Refusal, examine};
pub use image::{Blob, Image, Interfaces, Labels, Layout};
pub use push::push;
pub use reference::{Reference, ReferenceError};
pub use registry::{Access, Registry};
pub use transport::{Direction, Transfer, Watcher};
