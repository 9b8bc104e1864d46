//! What a plugin may use.

use std::time::Duration;

/// Bounds on one plugin's instance. Where plugins share an instance, the first of them in the chain sets its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that an instance may grow to.
    pub memory: usize,
    /// How long one callback may take. It is measured in steps of [`Limits::TICK`].
    pub callback: Duration,
}

impl Limits {
    /// The grain of [`Limits::callback`].
    pub const TICK: Duration = Duration::from_millis(10);

    /// How many ticks a callback may see so that it has at least this time.
    pub(crate) fn ticks(limit: Duration) -> u64 {
        // The tick under way may be about to end. A limit of a thousand years is none.
        let ticks = limit
            .as_nanos()
            .div_ceil(Self::TICK.as_nanos())
            .min(1 << 42);
        u64::try_from(ticks).unwrap_or(1 << 42).saturating_add(1)
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
