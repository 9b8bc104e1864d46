//! What proxies and meshes must be told so that they run adapted plugins: [`envoy`] bootstraps, [`istio`]'s resources and Envoy
//! [`gateway`]'s.
//!
//! This crate is data in, data out. It reads no file, opens no socket and knows nothing of Tidegate's other crates: the
//! modules it deploys come in as bytes or as paths that mean something to the proxy. The command line tool and the
//! scenario runner both build their Envoys from it, so what is tested is what is shipped.

pub mod configuration;
pub mod envoy;
pub mod gateway;
pub mod istio;
pub mod module;
pub mod resource;
pub mod source;
pub mod yaml;
