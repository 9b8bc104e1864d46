//! A deployed plugin: its binary, its configuration, and its failure policy.

use std::time::Duration;

use bytes::Bytes;

use crate::limits::Limits;

/// One plugin of a chain.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The name of the plugin in logs and errors.
    pub name: String,
    /// The component or Proxy-Wasm module. As in Envoy, plugins with identical bytes share one instance in each worker.
    /// This does not apply if their environments, VM configurations or seeds differ.
    pub module: Bytes,
    /// The engine that runs the plugin. If `None`, it is detected from the bytes.
    pub engine: Option<EngineKind>,
    /// The configuration that is passed to the plugin's `configure`.
    pub configuration: Vec<u8>,
    /// The configuration of the instance, which Envoy calls a virtual machine.
    pub vm_configuration: Vec<u8>,
    /// The policy for streams after the plugin has failed.
    pub failure_policy: FailurePolicy,
    /// With [`FailurePolicy::Reload`], the minimum time from one start of the plugin to the next. Streams that begin while
    /// there is no instance receive status 503. Of plugins that share an instance, that of the first one applies.
    pub restart_interval: Duration,
    /// Environment variables that are visible to the plugin. The host's own environment is not inherited.
    pub environment: Vec<(String, String)>,
    /// The seed of the plugin's random numbers, for reproducible runs. If `None`, the system's random number generator
    /// is used.
    pub seed: Option<u64>,
    /// Resource limits for the plugin.
    pub limits: Limits,
}

impl PluginSpec {
    /// Creates a specification with a name and a binary, without configuration and with default values for everything
    /// else. The restart interval is that of Envoy, one second.
    pub fn new(name: impl Into<String>, module: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            module: module.into(),
            engine: None,
            configuration: Vec::new(),
            vm_configuration: Vec::new(),
            failure_policy: FailurePolicy::default(),
            restart_interval: Duration::from_secs(1),
            environment: Vec::new(),
            seed: None,
            limits: Limits::default(),
        }
    }
}

/// The engine that runs a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// A component of the world `tidegate:proxy/http-plugin`, run with wasmtime's component model.
    Component,
    /// A Proxy-Wasm core module.
    ProxyWasm,
}

impl EngineKind {
    /// Detects from the first eight bytes which engine can run a binary. Returns `None` if there is none.
    pub fn detect(module: &[u8]) -> Option<EngineKind> {
        let header: &[u8; 8] = module.first_chunk()?;
        match header {
            [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(EngineKind::ProxyWasm),
            [0, b'a', b's', b'm', _, 0, 1, 0] => Some(EngineKind::Component),
            _ => None,
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            EngineKind::Component => "component",
            EngineKind::ProxyWasm => "proxy-wasm",
        })
    }
}

/// The policy for streams after the plugin has trapped. As in Envoy, the stream on which it trapped fails regardless of
/// the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Active streams receive status 503. A new instance serves the streams that follow, at the earliest
    /// [`PluginSpec::restart_interval`] after the last one was started.
    #[default]
    Reload,
    /// All streams receive status 503 from then on.
    Closed,
    /// Streams bypass the plugin as if it were not in the chain.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_is_detected_from_the_header() {
        assert_eq!(
            EngineKind::detect(b"\0asm\x01\0\0\0rest"),
            Some(EngineKind::ProxyWasm)
        );
        assert_eq!(
            EngineKind::detect(b"\0asm\x0d\0\x01\0rest"),
            Some(EngineKind::Component)
        );
        assert_eq!(EngineKind::detect(b"\0asm"), None);
        assert_eq!(EngineKind::detect(b"hello, world"), None);
    }
}
