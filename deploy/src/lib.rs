//! Generates the configuration that deploys adapted plugins to proxies and meshes: [`envoy`] bootstraps, [`istio`]
//! resources and Envoy [`gateway`] resources.
//!
//! This crate performs no I/O: it reads no files, opens no sockets and does not depend on Tidegate's other crates. Modules
//! are passed in as bytes, or as paths that the proxy resolves. The command-line tool and the scenario runner both use this
//! crate to build their Envoy configuration, so the tested configuration is the one that is shipped.

pub mod configuration;
pub mod envoy;
pub mod gateway;
pub mod istio;
pub mod module;
pub mod resource;
pub mod source;
pub mod yaml;
