//! Registries: puts Proxy-Wasm modules where Istio's agent fetches them from, and fetches them as the agent does.
//!
//! [`Image`] lays a module out in one of the [`Layout`]s that the agent takes; [`Registry`] speaks the OCI distribution
//! protocol, and [`push`] and [`examine`] are what one does with it. Whether a module is one that Envoy loads is not asked
//! here, and nothing here knows what a plugin is: names, versions and the like come in as [`Labels`].
//!
//! What comes from a registry is not trusted. Every answer is bounded in size before it is read, every blob is held
//! against the digest by which it was asked for, and the whole of an operation ends by one deadline.
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
