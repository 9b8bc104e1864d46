//! What a manifest has to know of the Proxy-Wasm module that it deploys, handed in as data.
//!
//! Whoever can read modules fills in [`Facts`]; this crate reads none. What Envoy may be told to grant the module follows
//! from them.

use std::collections::BTreeSet;

/// A Proxy-Wasm module as its imports and exports tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Callbacks that it exports, such as `proxy_on_request_headers`.
    pub callbacks: Vec<String>,
    /// Hostcalls that it imports from `env`, such as `proxy_get_property`.
    pub hostcalls: Vec<String>,
    /// Functions of WASI that it imports, with or without their module, such as `wasi_snapshot_preview1.fd_write`.
    pub wasi: Vec<String>,
    /// The SHA-256 of its bytes, in lower-case hexadecimal digits.
    pub sha256: String,
}

// === impl Facts ===

impl Facts {
    /// The least that Envoy's `capability_restriction_config` must allow for the module to work as it does unrestricted.
    ///
    /// Envoy gates three lists by one: hostcalls, which otherwise answer "internal failure", WASI functions, which otherwise
    /// answer `ENOTCAPABLE`, and callbacks, which otherwise are never called: a list of hostcalls alone would silence the
    /// plugin. What starts the module and gives it memory (`_initialize`, `_start`, `main`, `malloc`,
    /// `proxy_on_memory_allocate`) is not gated, and neither are the two functions of `env` that are not Proxy-Wasm's
    /// (`WasmBase::registerCallbacks` and `WasmBase::getFunctions` in proxy-wasm-cpp-host's `src/wasm.cc`).
    ///
    /// An empty list means "everything" to Envoy. No Proxy-Wasm module gives one: without any callback it would not be a
    /// plugin.
    pub fn capabilities(&self) -> BTreeSet<String> {
        let wasi = self
            .wasi
            .iter()
            .map(|function| function.rsplit('.').next().unwrap_or(function));
        self.callbacks
            .iter()
            .chain(&self.hostcalls)
            .map(String::as_str)
            .filter(|name| !["proxy_on_memory_allocate", "envoy_resolve_dns"].contains(name))
            .chain(wasi)
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn capabilities_are_hostcalls_callbacks_and_wasi() {
        let facts = Facts {
            callbacks: all(&["proxy_on_log", "proxy_on_memory_allocate"]),
            hostcalls: all(&["proxy_log", "proxy_done"]),
            wasi: all(&["wasi_snapshot_preview1.fd_write", "random_get"]),
            sha256: String::new(),
        };
        let capabilities: Vec<_> = facts.capabilities().into_iter().collect();
        assert_eq!(
            capabilities,
            [
                "fd_write",
                "proxy_done",
                "proxy_log",
                "proxy_on_log",
                "random_get"
            ]
        );
    }
}
