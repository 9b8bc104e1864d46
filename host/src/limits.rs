//! What a plugin may use.

use std::time::Duration;

/// Bounds on one plugin's instance. Where plugins share an instance, the first of them in the chain sets its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that an instance may grow to.
    pub memory: usize,
    /// How long one callback may take. It is measured in steps of [`Limits::TICK`]. Starting and configuring an instance may take
    /// ten times as long.
    pub callback: Duration,
}

impl Limits {
    /// The grain of [`Limits::callback`].
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
    /// 256 MiB and a second.
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            callback: Duration::from_secs(1),
        }
    }
}
