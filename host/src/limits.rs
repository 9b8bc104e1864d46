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

    /// What a callback has.
    pub(crate) fn for_callback(&self) -> Deadline {
        Deadline::of(self.callback)
    }

    /// What each step of starting an instance has: languages with a runtime of their own do much there.
    pub(crate) fn for_start(&self) -> Deadline {
        Deadline::of(self.callback.saturating_mul(10))
    }
}

/// How long guest code may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) time: Duration,
    /// How many ticks it may see so that it has at least this time.
    pub(crate) ticks: u64,
}

impl Deadline {
    fn of(time: Duration) -> Self {
        // The tick under way may be about to end. A limit of a thousand years is none.
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
