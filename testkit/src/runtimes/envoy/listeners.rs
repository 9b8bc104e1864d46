//! An Envoy that is started with a bootstrap of the caller's, for tests that are not scenarios: one process with a listener for each case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Envoy, LEVELS, SLOTS, launch, listener_addresses};
use crate::logbook::shown;

/// A running Envoy with one worker. Dropping it ends the process.
pub struct Listeners {
    addresses: BTreeMap<String, SocketAddr>,
    _envoy: Envoy,
}

// === impl Listeners ===

impl Listeners {
    /// Starts Envoy and waits until it serves. The bootstrap must have an admin interface. Listeners can have port 0.
    pub fn start(binary: &Path, bootstrap: &Value) -> Result<Self> {
        let mut envoy = launch(binary, bootstrap, LEVELS, "1", Some(SLOTS.take()))?;
        let Some((admin, _)) = envoy.watch.wait_for_workers()? else {
            envoy.join()?;
            // Envoy repeats a bootstrap that it cannot parse, as one line.
            let complaints = envoy.watch.complaints();
            let complaints = complaints
                .lines()
                .map(|line| match line.char_indices().nth(600) {
                    Some((end, _)) => &line[..end],
                    None => line,
                });
            bail!(
                "Envoy did not start: {}\nplugins logged:\n{}",
                complaints.collect::<Vec<_>>().join("\n"),
                shown(&envoy.lines.main.lines())
            );
        };
        Ok(Self {
            addresses: listener_addresses(admin)?,
            _envoy: envoy,
        })
    }

    /// Returns the address of the listener with this name.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let address = self.addresses.get(name).copied();
        address.with_context(|| {
            let names: Vec<&str> = self.addresses.keys().map(String::as_str).collect();
            format!(
                "Envoy has no listener `{name}`; it has `{}`",
                names.join("`, `")
            )
        })
    }
}
