//! Resource limits for plugins.

use std::time::Duration;

/// Resource limits for one plugin instance. If several plugins share an instance, the limits of the first one in the
/// chain apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum memory size of an instance, in bytes.
    pub memory: usize,
    /// The maximum duration of one callback, measured with the resolution [`Limits::TICK`]. Starting and configuring an
    /// instance may take ten times as long.
    pub callback: Duration,
}

impl Limits {
    /// The resolution of [`Limits::callback`].
    pub const TICK: Duration = Duration::from_millis(10);

    /// Returns the time limit of a callback.
    #[doc(hidden)]
    pub fn for_callback(&self) -> TimeLimit {
        TimeLimit::new(self.callback)
    }

    /// Returns the time limit of each step of starting an instance. It is longer, because languages with their own
    /// runtime do much work there.
    #[doc(hidden)]
    pub fn for_start(&self) -> TimeLimit {
        TimeLimit::new(self.callback.saturating_mul(10))
    }
}

/// The maximum run time of guest code.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct TimeLimit {
    #[doc(hidden)]
    pub time: Duration,
    /// The number of ticks after which at least this time has passed.
    #[doc(hidden)]
    pub ticks: u64,
}

impl TimeLimit {
    fn new(time: Duration) -> Self {
        // The current tick may be about to end, so one is added. A limit of more than a thousand years is equivalent to
        // no limit.
        let ticks = time
            .as_nanos()
            .div_ceil(Limits::TICK.as_nanos())
            .min(1 << 42);
        Self {
            time,
            ticks: u64::try_from(ticks).unwrap_or(1 << 42).saturating_add(1),
        }
    }
}

impl Default for Limits {
    /// Returns limits of 256 MiB and one second.
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            callback: Duration::from_secs(1),
        }
    }
}
