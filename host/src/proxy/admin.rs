//! The admin listener: `/metrics` for Prometheus, and `/ready` for health checks.
//!
//! It has its own thread, and workers do nothing for it except count. A client may be slow or send anything, so the number of
//! connections, their duration and the size of requests and responses are limited. A connection serves one request.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate_semantics::metrics::Metrics;
use tidegate_semantics::plugin_stats::PluginStats;
use tokio::sync::Semaphore;

use crate::proxy::prometheus;
use crate::proxy::worker::{StopSignal, wait_for_stop};

/// The maximum number of connections. Further ones wait. Each may hold a response of 16 MiB.
const MAX_CONNECTIONS: usize = 8;

/// The maximum size of a request head in bytes.
const MAX_HEAD_SIZE: usize = 8 * 1024;

/// The maximum time to receive a request head.
const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum duration of a connection. Prometheus' own default is 10 seconds for a response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the process is out of file descriptors, so that some are closed meanwhile.
const EXHAUSTION_DELAY: Duration = Duration::from_millis(50);

/// What the listener reports.
pub(super) struct Admin {
    pub(super) metrics: Arc<Metrics>,
    pub(super) stats: Arc<PluginStats>,
    /// Whether the proxy accepts connections.
    pub(super) ready: Arc<AtomicBool>,
}

/// Serves until the stop signal.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    listener: TcpListener,
    admin: Admin,
    mut stop: StopSignal,
) {
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = wait_for_stop(&mut stop) => {}
            () = accept(listener, Arc::new(admin)) => {}
        }
    });
}

async fn accept(listener: TcpListener, admin: Arc<Admin>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot accept admin connections"
            );
            return;
        }
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(EXHAUSTION_DELAY).await;
            continue;
        };
        let admin = admin.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let response = admin.respond(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_READ_TIMEOUT)
            .max_header_size(MAX_HEAD_SIZE)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "admin connection closed"
                ),
                Err(_) => tracing::debug!("admin connection timed out"),
            }
            drop(place);
        });
    }
}

// === impl Admin ===

impl Admin {
    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/ready") {
            return text(
                StatusCode::NOT_FOUND,
                "not found: the paths are /metrics and /ready\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        if path == "/metrics" {
            let metrics = prometheus::render(self.metrics.all(), &self.stats.all());
            return respond_with(StatusCode::OK, prometheus::CONTENT_TYPE, metrics.into());
        }
        match self.ready.load(Ordering::Acquire) {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let body = Bytes::from_static(text.as_bytes());
    respond_with(status, "text/plain; charset=utf-8", body)
}

fn respond_with(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_paths_and_methods_are_served() {
        let admin = Admin {
            metrics: Arc::default(),
            stats: Arc::default(),
            ready: Arc::default(),
        };
        let status = |method: Method, target: &str| {
            let request = Request::builder().method(method).uri(target).body(());
            let response = admin.respond(&request.expect("a request"));
            response.status().as_u16()
        };
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics?a=b"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        for path in ["/", "/metrics/", "/stats", "*"] {
            assert_eq!(status(Method::GET, path), 404, "{path}");
        }
        assert_eq!(status(Method::POST, "/quitquitquit"), 404);
        assert_eq!(status(Method::GET, "/ready"), 503);
        admin.ready.store(true, Ordering::Release);
        assert_eq!(status(Method::GET, "/ready"), 200);
    }
}
