//! A plugin as it is deployed: its bytes, its configuration, and what becomes of streams when it fails.

use bytes::Bytes;

use crate::limits::Limits;

/// One plugin of a chain.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// What logs and errors call it.
    pub name: String,
    /// The component, or the Proxy-Wasm module. Plugins whose bytes are equal share one instance in each worker, as in Envoy.
    pub module: Bytes,
    /// What runs it; none to tell from the bytes.
    pub engine: Option<EngineKind>,
    /// What the plugin's `configure` gets.
    pub configuration: Vec<u8>,
    /// What becomes of streams once the plugin has failed.
    pub fail_policy: FailPolicy,
    /// Environment variables that the plugin sees; it sees none of the host's own.
    pub environment: Vec<(String, String)>,
    /// What its random numbers begin with, where they are to be the same in every run. The system's if there is none.
    pub seed: Option<u64>,
    /// What the plugin may use.
    pub limits: Limits,
}

impl PluginSpec {
    /// A plugin with nothing but a name and its bytes: no configuration, and defaults for the rest.
    pub fn new(name: impl Into<String>, module: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            module: module.into(),
            engine: None,
            configuration: Vec::new(),
            fail_policy: FailPolicy::default(),
            environment: Vec::new(),
            seed: None,
            limits: Limits::default(),
        }
    }
}

/// What runs a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// A component of the world `tidegate:proxy/http-plugin`, in wasmtime's component model.
    Component,
    /// A Proxy-Wasm core module.
    ProxyWasm,
}

impl EngineKind {
    /// Tells from the first eight bytes what can run a binary, if anything can.
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

/// What becomes of streams once the plugin has trapped. The stream that it trapped on is lost unless the policy is `Open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailPolicy {
    /// Streams under way get 503; a fresh instance serves the next.
    #[default]
    Reload,
    /// Every stream gets 503 from then on.
    Closed,
    /// Streams pass as if the plugin were not in the chain.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_is_told_from_the_header() {
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
