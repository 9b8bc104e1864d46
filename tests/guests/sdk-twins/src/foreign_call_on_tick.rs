//! The example `foreign_call_on_tick`: a timer of 1 ms calls Envoy's foreign function `compress`.
//!
//! The original logs the compressed bytes, which depend on the implementation of zlib. Here, the plugin logs their
//! number and the result of `uncompress`. The timer stops after some ticks.

use std::time::Duration;

use proxy_wasm::traits::{Context, RootContext};

use crate::log::{critical, info};

const PERIOD: Duration = Duration::from_millis(1);
const TICKS: u32 = 2;

/// The plugin context.
#[derive(Default)]
pub struct Plugin {
    ticks: u32,
}

impl Plugin {
    fn call(&self, function: &str, arguments: &[u8]) -> Option<Vec<u8>> {
        match self.call_foreign_function(function, Some(arguments)) {
            Ok(result) => Some(result.unwrap_or_default()),
            Err(status) => {
                critical(&format!(
                    "error calling foreign function ({function}): {status:?}"
                ));
                None
            }
        }
    }
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        self.set_tick_period(PERIOD);
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        if self.ticks == TICKS {
            self.set_tick_period(Duration::ZERO);
        }
        let number = self.ticks;
        let Some(compressed) = self.call("compress", b"hello world!") else {
            return;
        };
        info(&format!(
            "foreign function (compress) called: {number}, result: {} bytes",
            compressed.len()
        ));
        let Some(text) = self.call("uncompress", &compressed) else {
            return;
        };
        info(&format!(
            "foreign function (uncompress) called: {number}, result: {}",
            String::from_utf8_lossy(&text)
        ));
    }
}
