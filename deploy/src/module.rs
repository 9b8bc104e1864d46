//! The properties of a Proxy-Wasm module that are needed to deploy it.
//!
//! This crate does not parse modules; the caller fills in [`Facts`]. The capabilities that Envoy must grant to the module
//! are derived from them.

use std::collections::BTreeSet;

/// The imports and exports of a Proxy-Wasm module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The callbacks that the module exports, such as `proxy_on_request_headers`.
    pub callbacks: Vec<String>,
    /// The hostcalls that the module imports from `env`, such as `proxy_get_property`.
    pub hostcalls: Vec<String>,
    /// The WASI functions that the module imports, with or without the WASI module name, such as
    /// `wasi_snapshot_preview1.fd_write`.
    pub wasi: Vec<String>,
    /// The SHA-256 digest of the module's bytes, in lowercase hexadecimal.
    pub sha256: String,
}

// === impl Facts ===

impl Facts {
    /// Returns the minimal set of capabilities that Envoy's `capability_restriction_config` must allow for the module to
    /// work as it does without restrictions.
    ///
    /// Envoy applies the same list to three groups of functions: hostcalls, which return "internal failure" if they are not
    /// listed; WASI functions, which return `ENOTCAPABLE`; and callbacks, which are never invoked. A list that contains
    /// only hostcalls would therefore disable the plugin. The functions that start the module and allocate memory
    /// (`_initialize`, `_start`, `main`, `malloc`, `proxy_on_memory_allocate`) are not restricted, and neither are the two
    /// functions in `env` that are not part of Proxy-Wasm (`WasmBase::registerCallbacks` and `WasmBase::getFunctions` in
    /// proxy-wasm-cpp-host's `src/wasm.cc`).
    ///
    /// Envoy interprets an empty list as "allow everything". No Proxy-Wasm module results in an empty list, because a
    /// module without callbacks is not a plugin.
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
