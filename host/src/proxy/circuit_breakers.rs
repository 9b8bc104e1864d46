//! How many connections and requests to the upstream there can be.

/// How many connections and requests to the upstream there can be. The fields have the names of Envoy's settings, and the defaults are
/// Envoy's. Each worker has these limits; in Envoy, all workers share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreakers {
    /// How many connections there are. When all are in use, further requests wait for one. At least one connection is opened.
    pub max_connections: usize,
    /// How many requests wait for a connection, including those whose connection is being established. The response to others is 503.
    pub max_pending_requests: usize,
    /// How many requests are in progress, not including those that wait for a connection. The response to others is 503.
    pub max_requests: usize,
}

// === impl CircuitBreakers ===

impl Default for CircuitBreakers {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
        }
    }
}
