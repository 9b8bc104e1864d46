//! How long the proxy waits for clients and upstreams.

use std::time::Duration;

/// How long the proxy waits for clients and upstreams. The fields have the names of Envoy's settings, and the defaults are
/// Envoy's. `None` means that there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// How long a connection may be idle, that is, without a request. It is then closed.
    pub idle_timeout: Option<Duration>,
    /// How long a request may be in progress without anything being received or sent. The response is 408, or 504 if the
    /// request has been received completely; if the response has begun, the connection is closed.
    pub stream_idle_timeout: Option<Duration>,
    /// How long a client may take to send the head of a request, from its first byte. The response is 408. There is no limit by default.
    pub request_headers_timeout: Option<Duration>,
    /// How long a client may take to send a request, from its first byte. The response is 408; if the response has begun, the connection is
    /// closed. There is no limit by default.
    pub request_timeout: Option<Duration>,
    /// How long the upstream may take to respond completely, from the end of the request. The response is 504; if the
    /// response has begun, the connection is closed.
    pub route_timeout: Option<Duration>,
    /// How long a connection to the upstream may take. The response is 503.
    pub connect_timeout: Duration,
    /// How long a connection on which the last response has been sent remains open, so that the client can receive it.
    pub delayed_close_timeout: Duration,
}

/// Converts a duration to the unit of the clock. One that is too long never ends.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(60 * 60)),
            stream_idle_timeout: Some(Duration::from_secs(5 * 60)),
            request_headers_timeout: None,
            request_timeout: None,
            route_timeout: Some(Duration::from_secs(15)),
            connect_timeout: Duration::from_secs(5),
            delayed_close_timeout: Duration::from_secs(1),
        }
    }
}
