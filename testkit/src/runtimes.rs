//! A common API for the runtimes in which a plugin must behave identically.
//!
//! Each runtime has one worker: plugins keep state per worker, and a single worker produces its logs in one order.
//! [`host`] is Tidegate's proxy, with either engine; [`envoy`] starts a real Envoy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

use crate::clusters::Addresses;
use crate::envoy::Release;
use crate::logbook::LogBook;
use crate::scenario::{FailurePolicy, MetricValue};
use crate::transcript::Line;

pub mod envoy;
pub mod host;

/// The kind of runtime in which a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeKind {
    /// The component, in Tidegate's proxy.
    Component,
    /// The adapted module, in Tidegate's proxy.
    ProxyWasm,
    /// The adapted module, in a real Envoy.
    Envoy(Release),
}

/// A plugin with everything that a runtime needs to deploy it.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The name of the plugin in logs.
    pub name: String,
    /// The binary: a component for [`RuntimeKind::Component`], otherwise a Proxy-Wasm module.
    pub wasm: Bytes,
    /// The configuration.
    pub configuration: Vec<u8>,
    /// The configuration of the virtual machine.
    pub vm_configuration: Vec<u8>,
    /// The policy for streams after the plugin traps.
    pub failure_policy: FailurePolicy,
    /// The seed of the plugin's random numbers, in Tidegate's proxy.
    pub seed: Option<u64>,
    /// The environment variables that are visible to the plugin.
    pub environment: Vec<(String, String)>,
}

/// The servers that a proxy can reach.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The upstream.
    pub upstream: SocketAddr,
    /// The clusters to which plugins can send HTTP calls.
    pub clusters: Addresses,
}

/// A call that a plugin has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCall {
    /// The cluster that it was sent to.
    pub cluster: String,
    /// The path.
    pub path: String,
    /// Whether the instance that sent it serves no streams.
    pub is_apart: bool,
}

/// A running proxy.
pub trait Runtime {
    /// Returns the address on which the proxy listens.
    fn address(&self) -> SocketAddr;

    /// Advances the time.
    fn advance(&self, by: Duration);

    /// Replaces the plugins. When this returns, new requests use the new plugins. Active streams keep the old ones.
    fn reload(&self, plugins: &[Deployed]) -> Result<()>;

    /// Returns the plugins' log output on the worker. Lines are added while the proxy runs.
    fn log(&self) -> &LogBook;

    /// Returns the number of log lines that were written before the first request.
    fn start_lines(&self) -> usize;

    /// Stops the proxy gracefully. The log and the following are complete afterwards.
    fn stop(&mut self) -> Result<()>;

    /// Returns the values of metrics by name, if the scenario states any.
    fn metrics(&self) -> BTreeMap<String, Vec<MetricValue>>;

    /// Returns all calls that plugins have sent, in order, in a runtime that also has instances that serve no streams.
    fn sent_calls(&self) -> Vec<SentCall> {
        Vec::new()
    }
}

/// The result of starting a proxy.
pub enum Started {
    /// The proxy is serving.
    Serving(Box<dyn Runtime>),
    /// A plugin rejected its configuration.
    Refused {
        /// The plugins' log output.
        lines: Vec<Line>,
        /// The proxy's error message.
        reason: String,
    },
}

// === impl RuntimeKind ===

impl RuntimeKind {
    /// Returns all runtimes.
    pub fn all() -> [Self; 4] {
        let [newest, oldest] = Release::ALL;
        [
            Self::Component,
            Self::ProxyWasm,
            Self::Envoy(newest),
            Self::Envoy(oldest),
        ]
    }

    /// Returns the name of the runtime in tests and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::ProxyWasm => "proxy-wasm",
            Self::Envoy(release) => release.runtime(),
        }
    }

    /// Returns whether a name refers to this runtime. `envoy` refers to every Envoy.
    pub fn is_named(self, name: &str) -> bool {
        name == self.name() || (name == "envoy" && matches!(self, Self::Envoy(_)))
    }
}
