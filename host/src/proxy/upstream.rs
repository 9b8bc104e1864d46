//! The upstream client. Each worker has one, with its own connection pool.
//!
//! Workers share no state, so no request waits for another worker's lock. If a pooled connection turns out to be closed
//! before anything was written to it, the client retries the request on another connection.

use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use http_body::Body;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::proxy::pipe::PipeBody;

/// The maximum time for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. It is shorter than what common servers allow, so that a request does not meet a
/// connection that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The upstream client of a worker.
pub(super) struct UpstreamClient {
    client: Client<HttpConnector, PipeBody>,
    authority: Authority,
}

// === impl UpstreamClient ===

impl UpstreamClient {
    /// Creates a client for one server.
    pub(super) fn new(authority: Authority) -> Self {
        Self {
            client: client(usize::MAX),
            authority,
        }
    }

    /// Sends a request whose URI is only a path.
    pub(super) fn send(&self, head: Request<()>, body: PipeBody) -> ResponseFuture {
        let request = Request::from_parts(address(head, self.authority.clone()), body);
        self.client.request(request)
    }
}

/// Creates a client with a connection pool of its own, and a maximum number of idle connections to each server.
pub(super) fn client<B>(max_idle: usize) -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(max_idle)
        // The head contains the `host` field, which a plugin may have changed.
        .set_host(false)
        .build(connector)
}

/// Adds to the head of a request, whose URI is only a path, the authority of the server to connect to. Only the path is sent.
pub(super) fn address(head: Request<()>, authority: Authority) -> Parts {
    let (mut head, ()) = head.into_parts();
    let path = head
        .uri
        .into_parts()
        .path_and_query
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    // A scheme, an authority and a path always form a URI.
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    head
}
