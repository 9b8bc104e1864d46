//! What a proxy must be told so that it runs adapted plugins: for now [`envoy`] bootstraps, later Istio's resources.
//!
//! This crate is data in, data out. It reads no file, opens no socket and knows nothing of Tidegate's other crates: the
//! modules it deploys come in as bytes or as paths that mean something to the proxy. The command line tool and the
//! scenario runner both build their Envoys from it, so what is tested is what is shipped.

pub mod envoy;
