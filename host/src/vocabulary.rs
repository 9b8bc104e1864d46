//! The terms that all modules share: halves of a stream, its field maps, phases, and what a callback decides.

/// One of the two halves of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From downstream to upstream.
    Request = 0,
    /// From upstream, or a plugin, to downstream.
    Response = 1,
}

/// One of the four sets of fields. The numbers are Proxy-Wasm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldMap {
    /// The headers of the request.
    RequestHeaders = 0,
    /// The trailers of the request.
    RequestTrailers = 1,
    /// The headers of the response.
    ResponseHeaders = 2,
    /// The trailers of the response.
    ResponseTrailers = 3,
}

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The head of the request has come.
    RequestHeaders,
    /// A piece of the request's body has come.
    RequestBody,
    /// The trailers of the request have come.
    RequestTrailers,
    /// The head of the response has come.
    ResponseHeaders,
    /// A piece of the response's body has come.
    ResponseBody,
    /// The trailers of the response have come.
    ResponseTrailers,
    /// The stream has ended.
    Log,
}

/// What a callback wants done with its phase. All but the first stop it; they differ in what becomes of bytes that come
/// meanwhile. Components know the first two, Proxy-Wasm modules all that Envoy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes on.
    Continue,
    /// From headers: bytes are kept, and the sender is told to wait when there are too many. From a body: bytes are kept, and
    /// the stream fails when there are too many.
    Pause,
    /// From headers: bytes are kept, and the stream fails when there are too many.
    PauseBuffering,
    /// From a body: bytes are kept, and the sender is told to wait when there are too many.
    PauseWatermark,
    /// From a body: bytes are dropped.
    PauseDropping,
}

// === impl Direction ===

impl Direction {
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn headers(self) -> FieldMap {
        match self {
            Direction::Request => FieldMap::RequestHeaders,
            Direction::Response => FieldMap::ResponseHeaders,
        }
    }

    pub(crate) fn trailers(self) -> FieldMap {
        match self {
            Direction::Request => FieldMap::RequestTrailers,
            Direction::Response => FieldMap::ResponseTrailers,
        }
    }

    /// The phase in which a body is seen.
    pub(crate) fn body_phase(self) -> Phase {
        match self {
            Direction::Request => Phase::RequestBody,
            Direction::Response => Phase::ResponseBody,
        }
    }
}

// === impl FieldMap ===

impl FieldMap {
    /// All of them, by number.
    pub(crate) const ALL: [FieldMap; 4] = [
        FieldMap::RequestHeaders,
        FieldMap::RequestTrailers,
        FieldMap::ResponseHeaders,
        FieldMap::ResponseTrailers,
    ];

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

// === impl Phase ===

impl Phase {
    /// The half of the stream that the phase belongs to, and the fields that it brings.
    pub(crate) fn of(self) -> (Direction, Option<FieldMap>) {
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
