//! The example `helloworld`: a line at the start, and a timer of one second that logs the time and a random number.
//!
//! Both come from WASI. Instead of the random number, the plugin logs whether two of them differ. The timer stops after some ticks.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxy_wasm::traits::{Context, RootContext};

use crate::log::info;

const PERIOD: Duration = Duration::from_secs(1);
const TICKS: u32 = 2;

/// The plugin context.
#[derive(Default)]
pub struct Plugin {
    ticks: u32,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        info("OnPluginStart from Go!");
        self.set_tick_period(PERIOD);
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        if self.ticks == TICKS {
            self.set_tick_period(Duration::ZERO);
        }
        let (now, first, second) = (nanoseconds(), random(), random());
        let differ = first != second;
        info(&format!("It's {now}: two random values differ: {differ}"));
        info("OnTick called");
    }
}

/// Returns the time of WASI's clock since 1970.
fn nanoseconds() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}

/// Returns a random number. The standard library seeds its hashers with WASI's random numbers.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
