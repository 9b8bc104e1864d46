//! `timers`: the timer of each plugin.

use std::time::Duration;

use crate::context::Services;
use crate::port::TimerSetting;

/// Sets the period of a plugin's timer in milliseconds, after the current callback has returned. 0 stops the timer.
pub fn set_period(services: &Services, plugin: usize, milliseconds: u32) {
    let period = Duration::from_millis(milliseconds.into());
    let now = services.clock.monotonic();
    services.outbox.set_timer(TimerSetting {
        plugin,
        period,
        from: now,
    });
}
