//! Tidegate's host: a reverse proxy that runs plugins with wasmtime.
//!
//! The semantics of an HTTP stream (phases, buffers, pause and resume, local responses, the order of the chain) and those of the hostcalls
//! are in the crate `tidegate-semantics`, without any I/O, so that the SDK's tests of plugins use them, too. Two thin front ends use them
//! here: `engine::component` runs components of the world `tidegate:proxy/http-plugin`, and `engine::proxy_wasm` runs Proxy-Wasm core
//! modules. `proxy` connects streams to HTTP.
//!
//! The typical call sequence: [`Runtime::load`] compiles [`PluginSpec`]s into a [`Chain`], [`Chain::start_worker`]
//! instantiates it for one worker thread, and [`WorkerChain::open`] returns the [`Stream`] for one request, which
//! consumes events and produces [`Effect`]s.
//!
//! [`observe`] reports what plugins do. Without an observer, none of this data is collected.
//!
//! This library does not print or parse command lines; `host/cli` does. The only files that it reads and writes are
//! compiled code, in a [directory](RuntimeConfig::code_cache_dir) that the caller names. It treats adapted modules like any
//! other Proxy-Wasm module and does not depend on the adapter.

mod bindings;
pub mod clock;
pub mod config;
mod engine;
pub mod error;
pub mod proxy;
pub mod runtime;
#[cfg(test)]
mod test_support;

#[doc(inline)]
pub use tidegate_semantics::{
    attributes, clusters, fields, limits, logs, metrics, observe, plugin, plugin_stats,
    shared_data, shared_queues, stream,
};

pub use attributes::Attributes;
pub use clock::{Clock, ManualClock, PluginClock, SystemClock};
pub use clusters::{Cluster, Clusters, InvalidCluster};
pub use config::RuntimeConfig;
pub use engine::{CodeCache, CodeCacheStats, UNSUPPORTED as UNSUPPORTED_HOSTCALLS};
pub use error::{LoadError, StartError};
pub use fields::{Fields, Name, Pseudo};
pub use limits::Limits;
pub use logs::{Level, LogLine, LogSink};
pub use metrics::Metrics;
pub use observe::Observer;
pub use plugin::{EngineKind, FailurePolicy, PluginSpec};
pub use plugin_stats::PluginStats;
pub use proxy::profile::Profile;
pub use proxy::{
    CircuitBreakers, EchoServer, ServeError, Server, ServerConfig, Timeouts, Upstream,
};
pub use runtime::{Chain, Runtime, WorkerChain};
pub use shared_data::SharedData;
pub use shared_queues::SharedQueues;
pub use stream::{Effect, Stream};
pub use tidegate_semantics::instances::ChainConfig;
