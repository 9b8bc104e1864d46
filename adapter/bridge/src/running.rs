//! The callback that is running.

/// Which callback is running.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// `configure`, a destructor, or the guest's start code.
    Lifecycle,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
    /// A timer, a value in a queue, an HTTP call that has ended, or the end of a plugin. No stream is selected, even if
    /// the callback is that of a filter.
    Event,
}

impl Phase {
    /// Whether it belongs to this half of a stream: 0 is the request, 1 the response.
    #[inline(always)]
    pub(crate) fn is_of(self, half: u32) -> bool {
        match self {
            Phase::RequestHeaders | Phase::RequestBody | Phase::RequestTrailers => half == 0,
            Phase::ResponseHeaders | Phase::ResponseBody | Phase::ResponseTrailers => half == 1,
            Phase::Lifecycle | Phase::Log | Phase::Event => false,
        }
    }
}

/// A callback that the host has called. The host may call another one during a hostcall; the earlier one continues
/// afterwards.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct RunningCallback {
    /// The context.
    pub(crate) context: u32,
    /// The stream whose callback is running. 0 if there is none, or if it has ended in the meantime.
    pub(crate) stream: u32,
    /// The size of the body in bytes, inside a body callback.
    pub(crate) body_size: u32,
    pub(crate) phase: Phase,
    /// Whether the callback has resumed its own half.
    pub(crate) resumed: bool,
    /// Whether the callback has ended its phase by a local response or a reset.
    pub(crate) stopped: bool,
    /// Unused. It makes every byte of the struct an initialised one.
    pub(crate) padding: u8,
}

const _: () = assert!(size_of::<RunningCallback>() == 2 * size_of::<u64>());

/// A callback as two numbers, which fit into locals, so saving it needs no stack.
#[derive(Clone, Copy)]
pub(crate) struct SavedCallback(u64, u64);

impl SavedCallback {
    /// Saves the callback that is running.
    #[inline(always)]
    pub(crate) fn save(running: &core::cell::Cell<RunningCallback>) -> SavedCallback {
        let running = running.as_ptr().cast::<u64>();
        // SAFETY: a callback has the size and the alignment of two such numbers, and all its bytes are initialised.
        unsafe { SavedCallback(running.read(), running.add(1).read()) }
    }

    /// Makes it the running callback again.
    #[inline(always)]
    pub(crate) fn restore(self, running: &core::cell::Cell<RunningCallback>) {
        let running = running.as_ptr().cast::<u64>();
        // SAFETY: see `save`; the numbers came from a callback.
        unsafe {
            running.write(self.0);
            running.add(1).write(self.1);
        }
    }
}
