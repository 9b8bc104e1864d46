//! Terms that all modules share: the directions of a stream, its field maps and phases, and the actions of callbacks.

/// One of the two directions of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From downstream to upstream.
    Request = 0,
    /// From upstream, or from a plugin or the proxy, to downstream.
    Response = 1,
}

/// One of the four field maps of a stream. The numeric values are those of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldMap {
    /// The request headers.
    RequestHeaders = 0,
    /// The request trailers.
    RequestTrailers = 1,
    /// The response headers.
    ResponseHeaders = 2,
    /// The response trailers.
    ResponseTrailers = 3,
}

/// The phase of a stream in which a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request headers have been received.
    RequestHeaders,
    /// A chunk of the request body has been received.
    RequestBody,
    /// The request trailers have been received.
    RequestTrailers,
    /// The response headers have been received.
    ResponseHeaders,
    /// A chunk of the response body has been received.
    ResponseBody,
    /// The response trailers have been received.
    ResponseTrailers,
    /// The stream has ended.
    Log,
}

/// The action that a callback returns for its phase. All actions except `Continue` pause, and differ in the handling of
/// body data that arrives in the meantime. Components can return the first two, and Proxy-Wasm modules can return all
/// that Envoy supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Continues with the next plugin.
    Continue,
    /// In a headers callback, buffers the body, and makes the sender wait when the buffer limit is exceeded. In a body
    /// callback, buffers the body, and fails the stream when the limit is exceeded.
    Pause,
    /// In a headers callback, buffers the body, and fails the stream when the buffer limit is exceeded.
    PauseBuffering,
    /// In a body callback, buffers the body, and makes the sender wait when the buffer limit is exceeded.
    PauseWatermark,
    /// In a body callback, drops the data.
    PauseDropping,
}

// === impl Direction ===

impl Direction {
    #[doc(hidden)]
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    #[doc(hidden)]
    #[inline]
    pub fn headers(self) -> FieldMap {
        match self {
            Direction::Request => FieldMap::RequestHeaders,
            Direction::Response => FieldMap::ResponseHeaders,
        }
    }

    #[doc(hidden)]
    #[inline]
    pub fn trailers(self) -> FieldMap {
        match self {
            Direction::Request => FieldMap::RequestTrailers,
            Direction::Response => FieldMap::ResponseTrailers,
        }
    }

    /// Returns the phase of the body callback.
    #[doc(hidden)]
    #[inline]
    pub fn body_phase(self) -> Phase {
        match self {
            Direction::Request => Phase::RequestBody,
            Direction::Response => Phase::ResponseBody,
        }
    }
}

// === impl FieldMap ===

impl FieldMap {
    /// All field maps, in the order of their numeric values.
    #[doc(hidden)]
    pub const ALL: [FieldMap; 4] = [
        FieldMap::RequestHeaders,
        FieldMap::RequestTrailers,
        FieldMap::ResponseHeaders,
        FieldMap::ResponseTrailers,
    ];

    #[doc(hidden)]
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    #[doc(hidden)]
    #[inline]
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
}

// === impl Phase ===

impl Phase {
    /// Returns the direction that the phase belongs to, and the field map that was received in it.
    #[doc(hidden)]
    #[inline]
    pub fn direction_and_map(self) -> (Direction, Option<FieldMap>) {
        match self {
            Phase::RequestHeaders => (Direction::Request, Some(FieldMap::RequestHeaders)),
            Phase::RequestBody => (Direction::Request, None),
            Phase::RequestTrailers => (Direction::Request, Some(FieldMap::RequestTrailers)),
            Phase::ResponseHeaders => (Direction::Response, Some(FieldMap::ResponseHeaders)),
            Phase::ResponseBody | Phase::Log => (Direction::Response, None),
            Phase::ResponseTrailers => (Direction::Response, Some(FieldMap::ResponseTrailers)),
        }
    }
}
