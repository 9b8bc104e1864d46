//! The example `vm_plugin_configuration`: logs the configuration of the VM and that of the plugin.
//!
//! The original logs the configuration of the VM in `on_vm_start`. It is read there here too (see `lib.rs`), but logged in
//! `on_configure`, because only the plugin's configuration selects the example.

use proxy_wasm::traits::{Context, RootContext};

use crate::log::info;

/// The plugin context.
pub struct Plugin {
    vm_configuration: Vec<u8>,
}

impl Plugin {
    /// Creates the context of a plugin in a VM with this configuration.
    pub fn new(vm_configuration: Vec<u8>) -> Self {
        Self { vm_configuration }
    }
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        for (name, bytes) in [
            ("vm config", &self.vm_configuration),
            ("plugin config", &configuration),
        ] {
            // In quotation marks, so that an empty one is visible.
            info(&format!("{name}: {:?}", String::from_utf8_lossy(bytes)));
        }
        true
    }
}
