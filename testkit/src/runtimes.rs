//! The runtimes in which a plugin must behave in the same way, with a common API.
//!
//! Each runs one worker: what a plugin keeps, it keeps per worker, and logs come in one order. [`host`] is our own proxy,
//! with either engine; [`envoy`] starts a real Envoy.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

use crate::envoy::Release;
use crate::logbook::LogBook;
use crate::scenario::FailPolicy;
use crate::transcript::Line;

pub mod envoy;
pub mod host;

/// Where a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeKind {
    /// The component, in our host.
    Component,
    /// The adapted module, in our host.
    ProxyWasm,
    /// The adapted module, in a real Envoy.
    Envoy(Release),
}

/// A plugin with all that a runtime needs of it.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Its name in logs.
    pub name: String,
    /// Its bytes: a component for [`RuntimeKind::Component`], else a Proxy-Wasm module.
    pub wasm: Bytes,
    /// Its configuration.
    pub configuration: Vec<u8>,
    /// What becomes of streams when it traps.
    pub fail_policy: FailPolicy,
    /// What its random numbers begin with, in our hosts.
    pub seed: Option<u64>,
    /// Environment variables that it sees.
    pub environment: Vec<(String, String)>,
}

/// A proxy that serves.
pub trait Runtime {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Lets time pass.
    fn advance(&self, by: Duration);

    /// What plugins log, and go on to log, on the worker.
    fn log(&self) -> &LogBook;

    /// How many of those lines are from before the first request.
    fn start_lines(&self) -> usize;

    /// Stops it gracefully; then the log is complete.
    fn stop(&mut self) -> Result<()>;
}

/// A proxy that was started.
pub enum Started {
    /// It serves.
    Serving(Box<dyn Runtime>),
    /// A plugin refused its configuration.
    Refused {
        /// What plugins logged.
        lines: Vec<Line>,
        /// What the proxy said of it, for messages.
        reason: String,
    },
}

// === impl RuntimeKind ===

impl RuntimeKind {
    /// Every runtime.
    pub fn all() -> [Self; 4] {
        let [newest, oldest] = Release::ALL;
        [
            Self::Component,
            Self::ProxyWasm,
            Self::Envoy(newest),
            Self::Envoy(oldest),
        ]
    }

    /// The runtime's name in tests and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::ProxyWasm => "proxy-wasm",
            Self::Envoy(release) => release.runtime(),
        }
    }

    /// Whether a name means this runtime; `envoy` means every Envoy.
    pub fn is_named(self, name: &str) -> bool {
        name == self.name() || (name == "envoy" && matches!(self, Self::Envoy(_)))
    }
}
